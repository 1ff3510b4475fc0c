"""How far a transfer has come: a bar for a terminal, a line with its HTML twin for a notebook."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from typing import TYPE_CHECKING

from runctl_jupyter.display.style import DIM, NUMBERS, bundle
from runctl_jupyter.orchestration.units import duration_text, size_text

if TYPE_CHECKING:
    from runctl_jupyter.orchestration.storage.crew import OnProgress, Progress


@contextmanager
def terminal_bar(what: str) -> Iterator[OnProgress]:
    """Show a bar on standard error while a transfer goes on; it is gone afterwards."""
    from rich import progress as rich_progress
    from rich.console import Console

    columns = (
        rich_progress.TextColumn("{task.description}"),
        rich_progress.BarColumn(),
        rich_progress.DownloadColumn(),
        rich_progress.TransferSpeedColumn(),
        rich_progress.TimeRemainingColumn(),
    )
    with rich_progress.Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=None)

        def show(progress: Progress) -> None:
            text = what if progress.files == 1 else f"{what} {progress.files_done:,}/{progress.files:,} files"
            bar.update(task, description=text, completed=progress.bytes_done, total=progress.bytes)

        yield show


def progress_line(what: str, progress: Progress, seconds: float) -> str:
    """Return a transfer's state as one line of text."""
    done, all_bytes = progress.bytes_done, progress.bytes
    parts = [f"{what} {100 * done // all_bytes if all_bytes else 100} %"]
    parts.append(f"{size_text(done)} of {size_text(all_bytes)}")
    if progress.files != 1:
        parts.append(f"{progress.files_done:,} of {progress.files:,} files")
    if done and seconds > 0:
        rate = done / seconds
        parts.append(f"{size_text(rate)}/s")
        if done < all_bytes:
            parts.append(f"{duration_text((all_bytes - done) / rate)} left")
    return " · ".join(parts)


def progress_bundle(what: str, progress: Progress, seconds: float) -> dict[str, str]:
    """Return the same for a notebook."""
    line = progress_line(what, progress, seconds)
    value = progress.bytes_done / progress.bytes if progress.bytes else 1.0
    html = (
        f'<div style="{NUMBERS}"><progress value="{value:.3f}" max="1" aria-label="{escape(what)}"></progress> '
        f'<span style="{DIM}">{escape(line)}</span></div>'
    )
    return bundle(line, html)
