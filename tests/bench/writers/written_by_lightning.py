"""A checkpoint of Lightning's trainer: ``python written_by_lightning.py FOLDER``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import lightning
import torch
from rows import Rows


class Net(lightning.LightningModule):
    """One layer."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.layer = torch.nn.Linear(width, 1)

    def training_step(self, batch: Any, _: int) -> Any:
        """Return the loss."""
        return self.layer(batch).square().mean()

    def configure_optimizers(self) -> Any:
        """Return Adam."""
        return torch.optim.Adam(self.parameters(), lr=0.01)


folder = Path(sys.argv[1])
rows = Rows("lightning")
net = Net(32)
trainer = lightning.Trainer(
    max_steps=5, accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False,
    enable_checkpointing=False,
)  # fmt: skip
trainer.fit(net, torch.utils.data.DataLoader(torch.rand(16, 32), batch_size=4))
trainer.save_checkpoint(folder / "net.ckpt")
rows.add("Trainer", folder / "net.ckpt", 33, 5, "layer.weight", net.layer.weight.detach().numpy())
rows.tell()
