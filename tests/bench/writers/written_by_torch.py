"""Checkpoints as scripts of PyTorch write them: ``python written_by_torch.py FOLDER``."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
import torch.distributed.checkpoint as dcp
from rows import Rows
from safetensors.torch import save_model

folder = Path(sys.argv[1])
rows = Rows("torch", "safetensors")
model = torch.nn.Sequential(
    torch.nn.Linear(64, 128), torch.nn.BatchNorm1d(128), torch.nn.ReLU(), torch.nn.Linear(128, 8)
)
optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
for _ in range(3):
    model(torch.rand(16, 64)).sum().backward()
    optimizer.step()
state = model.state_dict()
parameters = sum(tensor.numel() for tensor in state.values())
weight = state["0.weight"].numpy()
whole = {"model": state, "optimizer": optimizer.state_dict(), "step": 3, "epoch": 1}

torch.save(state, folder / "state.pt")
rows.add("state dict", folder / "state.pt", parameters, None, "0.weight", weight)
torch.save(whole, folder / "training.pth")
rows.add("training state", folder / "training.pth", parameters, 3, "0.weight", weight)
torch.save(whole, folder / "legacy.pt", _use_new_zipfile_serialization=False)
rows.add("training state, before 1.6", folder / "legacy.pt", parameters, 3, "0.weight", weight)
dcp.save(whole, checkpoint_id=folder / "dcp")
rows.add("torch.distributed.checkpoint", folder / "dcp", parameters, 3, "0.weight", weight)
save_model(model, str(folder / "model.safetensors"), {"step": "3"})
rows.add("safetensors", folder / "model.safetensors", parameters, 3, "0.weight", weight)
model.eval()
torch.onnx.export(model, (torch.rand(2, 64),), str(folder / "model.onnx"), dynamo=False, do_constant_folding=False)
counts = sum(tensor.numel() for tensor in state.values() if tensor.dtype == torch.float32)
rows.add("ONNX", folder / "model.onnx", counts, None, "0.weight", weight)
rows.tell()
