"""The fault suite as a table: what was done to a training, and what became of it. Not a test: it prints.

``python tests/bench/faults.py [--mode plain|isolated] [PYTEST-OPTION ...]`` (needs the extras ``sandbox`` and
``test``) runs ``tests/faults`` and exits as pytest does.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[2]
WORKERS = str(min(2, os.cpu_count() or 1))
COLUMNS = ("fault", "hits", "fault for", "back after", "lines", "doubled", "missing", "checkpoints", "end", "test")
Facts = Mapping[str, Any]


def run(mode: str, options: list[str], table: Path) -> int:
    """Run the suite in a mode and return pytest's exit status."""
    command = [sys.executable, "-m", "pytest", "-q", "tests/faults", "-n", WORKERS, *options]
    env = {**os.environ, "RUNCTL_TEST_MODE": mode, "RUNCTL_FAULT_TABLE": str(table)}
    return subprocess.run(command, cwd=ROOT, env=env, check=False).returncode


def read(table: Path) -> list[Facts]:
    """Return the rows that the tests wrote, those of a kind of fault together."""
    rows = [json.loads(line) for line in table.read_text("utf-8").splitlines()] if table.exists() else []
    return sorted(rows, key=lambda row: str(row["fault"]))


def cells(row: Facts) -> Iterator[str]:
    """Return the texts of a row."""
    lines = row["lines"]
    yield str(row["fault"])
    yield str(row.get("hits", "-"))
    yield seconds(row.get("fault_s"))
    yield seconds(row.get("recovery_s"))
    yield f"{lines['seen']} of {lines['expected']}" if lines["expected"] else "-"
    yield str(lines["doubled"])
    yield str(lines["missing"])
    yield str(row["checkpoints"])
    yield row["state"] + (f" ({row['exit_code']})" if row["exit_code"] else "")
    yield seconds(row["test_s"])


def seconds(value: float | None) -> str:
    """Return seconds as people read them."""
    return "-" if value is None else f"{value:.1f} s"


def shown(rows: Iterable[Facts], mode: str) -> Table:
    """Return the table."""
    machine = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    table = Table(*COLUMNS, title=f"{datetime.now(UTC):%Y-%m-%d}, {machine}, {mode} machines")
    for row in rows:
        table.add_row(*cells(row))
    return table


def main() -> int:
    """Run the suite and print its table."""
    parser = argparse.ArgumentParser(description="Run tests/faults and print what became of each training.")
    parser.add_argument("--mode", choices=("plain", "isolated"), default=os.environ.get("RUNCTL_TEST_MODE", "plain"))
    arguments, options = parser.parse_known_args()
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder, "table.jsonl")
        status = run(arguments.mode, options, table)
        Console(width=200).print(shown(read(table), arguments.mode))
    return status


if __name__ == "__main__":
    sys.exit(main())
