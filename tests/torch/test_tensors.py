"""Tensors as values of variables."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.unit.run_record.test_values import round_trip


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "value"


def test_tensors_and_states_come_back(path: Path) -> None:
    weight = torch.nn.Parameter(torch.randn(3, 2))
    back = round_trip(weight, path, "safetensors tensor")
    assert type(back) is torch.nn.Parameter
    assert torch.equal(back, weight)
    norm = torch.nn.BatchNorm1d(4)
    state = round_trip(norm.state_dict(), path, "safetensors state")
    assert state._metadata == norm.state_dict()._metadata
    assert list(state) == list(norm.state_dict())
    tied = {"a": torch.eye(3), "b": torch.eye(3)[1:]}
    tied["b"] = tied["a"][1:]
    found = round_trip(tied, path, "safetensors")
    assert all(torch.equal(found[name], tied[name]) for name in tied)
    loss = round_trip((weight * 2).sum(), path, "safetensors tensor")
    assert loss.requires_grad
