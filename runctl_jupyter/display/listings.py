"""How a listing looks in a notebook."""

from __future__ import annotations

from html import escape
from typing import Any

from runctl_jupyter.display.style import DIM, facts_html, table_html
from runctl_jupyter.orchestration.listing import Listing

ROWS = 200
"""Rows of a table; a listing of thousands would weigh a notebook down for ever."""


def listing_html(listing: Listing[Any]) -> str:
    """Return a listing as an HTML table, or what it says when it is empty."""
    notes = "".join(f'<div style="{DIM}">{escape(note)}</div>' for note in listing.notes)
    if not len(listing):
        return facts_html(listing.empty, []) + notes
    shown = listing.cells()[:ROWS]
    table = table_html([(column.title, column.right) for column in listing.columns], shown)
    left_out = len(listing) - len(shown)
    return table + (f"<div>{left_out:,} more rows; .to_dict() has them all</div>" if left_out else "") + notes
