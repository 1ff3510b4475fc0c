"""``nvidia-smi`` of a sandbox machine: names the GPUs its instance type would have. There is no GPU behind it."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any


def rows(gpus: int, name: str, memory_mib: int) -> list[dict[str, Any]]:
    """One dictionary per GPU, by the names of ``nvidia-smi --help-query-gpu``; values with their unit."""
    return [
        {
            "index": str(index),
            "name": f"{name} (sandbox)",
            "gpu_name": f"{name} (sandbox)",
            "uuid": f"GPU-5a4db0c5-0000-0000-0000-{index:012d}",
            "count": str(gpus),
            "memory.total": f"{memory_mib} MiB",
            "memory.used": "0 MiB",
            "memory.free": f"{memory_mib} MiB",
            "utilization.gpu": "0 %",
            "utilization.memory": "0 %",
            "temperature.gpu": "30",
        }
        for index in range(gpus)
    ]


def main() -> int:
    """Answer ``-L``, ``--query-gpu=… --format=csv…`` and the plain call."""
    parser = argparse.ArgumentParser(prog="nvidia-smi", description=__doc__)
    parser.add_argument("inventory", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("-L", "--list-gpus", action="store_true")
    parser.add_argument("--query-gpu")
    parser.add_argument("--query-compute-apps")
    parser.add_argument("--format", default="csv")
    options = parser.parse_args()
    table = rows(**json.loads(options.inventory.read_text()))
    if options.list_gpus:
        for row in table:
            sys.stdout.write(f"GPU {row['index']}: {row['name']} (UUID: {row['uuid']})\n")
        return 0
    query = options.query_gpu or options.query_compute_apps
    if query:
        if not options.query_gpu:
            table = []  # no process uses a GPU that is not there
        fields = [field.strip() for field in query.split(",")]
        form = options.format.split(",")
        if "noheader" not in form:
            sys.stdout.write(", ".join(fields) + "\n")
        for row in table:
            values = [str(row.get(field, "[N/A]")) for field in fields]
            if "nounits" in form:
                values = [value.removesuffix(" MiB").removesuffix(" %") for value in values]
            sys.stdout.write(", ".join(values) + "\n")
        return 0
    sys.stdout.write("NVIDIA-SMI (sandbox: this machine has no GPU; these are the GPUs of its instance type)\n")
    for row in table:
        sys.stdout.write(f"  {row['index']}  {row['name']}  {row['memory.used']} / {row['memory.total']}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
