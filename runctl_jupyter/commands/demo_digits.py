# /// script
# requires-python = ">=3.9"
# dependencies = ["numpy", "safetensors", "scikit-learn"]
# ///
"""Train a classifier on 1,797 handwritten digits. Knows nothing of runctl but where checkpoints go."""

import argparse
import os
import pathlib

import numpy as np
from safetensors.numpy import save_file
from sklearn.datasets import load_digits
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

parser = argparse.ArgumentParser()
parser.add_argument("--epochs", type=int, default=10)
epochs = parser.parse_args().epochs
folder = pathlib.Path(os.environ.get("RUNCTL_CHECKPOINT_DIR", "checkpoints"))
folder.mkdir(parents=True, exist_ok=True)

images, digits = load_digits(return_X_y=True)
train_x, test_x, train_y, test_y = train_test_split(images / 16, digits, random_state=0)
model = MLPClassifier((64,), batch_size=32, learning_rate_init=0.003, random_state=0)
print(f"digits: {len(train_x)} images to learn from, {len(test_x)} to be tested on", flush=True)

accuracy = 0.0
for epoch in range(1, epochs + 1):
    model.partial_fit(train_x, train_y, classes=np.unique(digits))
    loss, accuracy = log_loss(test_y, model.predict_proba(test_x)), model.score(test_x, test_y)
    print(f"epoch={epoch} loss={loss:.4f} accuracy={accuracy:.4f}", flush=True)

    weights = {f"weight{layer}": part for layer, part in enumerate(model.coefs_)}
    biases = {f"bias{layer}": part for layer, part in enumerate(model.intercepts_)}
    metadata = {"step": model.t_, "epoch": epoch, "loss": round(loss, 4), "accuracy": round(accuracy, 4)}
    final = folder / f"epoch-{epoch:03d}.safetensors"
    partial = final.with_suffix(".tmp")
    save_file({**weights, **biases}, partial, metadata={key: str(value) for key, value in metadata.items()})
    partial.replace(final)  # never a half-written file under its final name

print(f"test accuracy: {accuracy:.4f}", flush=True)
