"""Lists of the public API: sequences that print as tables and convert to dicts and DataFrames."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar, overload

from runctl_jupyter.orchestration.units import printable

if TYPE_CHECKING:
    import pandas as pd


class Row(Protocol):
    """Anything a listing can hold."""

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready keys and values."""


T = TypeVar("T", bound=Row)


@dataclass(frozen=True)
class Column(Generic[T]):
    """A column of the printed table."""

    title: str
    text: Callable[[T], str]
    right: bool = False


class Listing(Sequence[T]):
    """A read-only list.

    Parameters
    ----------
    rows
        The things listed.
    columns
        How each is printed.
    empty
        What to say when there are none, and the next step.
    notes
        What else to know, a line each, e.g. who could not be asked.
    """

    def __init__(
        self, rows: Sequence[T], columns: Sequence[Column[T]], empty: str, *, notes: Sequence[str] = ()
    ) -> None:
        self._rows = list(rows)
        self.columns = tuple(columns)
        self.empty = empty
        self.notes = tuple(notes)

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[T]: ...
    def __getitem__(self, index: int | slice) -> T | Sequence[T]:
        return self._rows[index]

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[T]:
        return iter(self._rows)

    def cells(self) -> list[list[str]]:
        """Return the table's cells as text, row by row."""
        return [[printable(column.text(row)) for column in self.columns] for row in self._rows]

    def to_dict(self) -> list[dict[str, Any]]:
        """Return one dict per row."""
        return [row.to_dict() for row in self._rows]

    def to_dataframe(self) -> pd.DataFrame:
        """Return a pandas DataFrame, one row per item (pandas must be installed)."""
        import pandas

        return pandas.DataFrame(self.to_dict())

    def __repr__(self) -> str:
        table = text_table([(c.title, c.right) for c in self.columns], self.cells()) if self._rows else self.empty
        return "\n".join([table, *(printable(note) for note in self.notes)])


def text_table(columns: Sequence[tuple[str, bool]], cells: Sequence[Sequence[str]]) -> str:
    """Return a plain text table; `columns` are titles and whether they align right."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, header_style="")
    for title, right in columns:
        table.add_column(title, justify="right" if right else "left", no_wrap=True, overflow="ignore")
    for row in cells:
        table.add_row(*(Text(cell) for cell in row))
    out = io.StringIO()
    # Wide enough never to cut an id: who pipes this into a file has no terminal width.
    Console(file=out, width=400, color_system=None, force_jupyter=False, highlight=False).print(table)
    return "\n".join(line.rstrip() for line in out.getvalue().rstrip("\n").splitlines())


def plain(mapping: Mapping[str, Any]) -> str:
    """Return ``key=value`` pairs for a table cell."""
    return " ".join(
        f"{key}={value:g}" if isinstance(value, float) else f"{key}={value}" for key, value in mapping.items()
    )
