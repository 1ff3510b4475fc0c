"""The mode is chosen by what the machine can do, and said in two lines when it cannot."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from runctl_jupyter.sandbox.hosts import choose_factory
from runctl_jupyter.sandbox.hosts.addresses import AddressPool, loopback_network
from runctl_jupyter.sandbox.hosts.base import HostError


def test_plain_is_always_possible(tmp_path: Path) -> None:
    factory = choose_factory("plain", tmp_path)
    assert factory.mode == "plain"
    assert factory.cannot


def test_unknown_mode_names_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(HostError, match=r"\Aunknown sandbox mode 'docker'\nUse one of: plain, isolated, auto\.\Z"):
        choose_factory("docker", tmp_path)


def test_isolated_without_root_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(sys, "platform", "linux")
    with pytest.raises(HostError, match=r"\A[^\n]*not started as root\nUse the plain mode[^\n]*\Z"):
        choose_factory("isolated", tmp_path)
    assert choose_factory("auto", tmp_path).mode == "plain"
    assert list(tmp_path.iterdir()) == []


def test_isolated_without_its_tools_names_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(HostError, match=r"missing programs: ip, nsenter, unshare, mount, mkfs\.ext4"):
        choose_factory("isolated", tmp_path)


def test_other_systems_get_plain_machines_on_one_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(HostError, match="this system is not Linux"):
        choose_factory("isolated", tmp_path)
    factory = choose_factory("plain", tmp_path)
    assert any("127.0.0.1" in line for line in factory.cannot)
    assert AddressPool(tmp_path, loopback_network(tmp_path)).take("i-1") == "127.0.0.1"


def test_addresses_are_kept_and_reused_late(tmp_path: Path) -> None:
    network = loopback_network(tmp_path)
    pool = AddressPool(tmp_path, network)
    first = pool.take("i-1")
    assert pool.take("i-1") == first
    (tmp_path / "i-1/private-ip").unlink()
    second = pool.take("i-2")
    assert second != first
    assert AddressPool(tmp_path, network).take("i-2") == second
