"""Prices that AWS has told, kept for the next process: one small file per region, which may vanish at any time."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from runctl_jupyter.orchestration.storage.whole_file import whole_file

_log = logging.getLogger(__name__)

Kind = Literal["on-demand", "spot"]

_FORGOTTEN_AFTER = timedelta(days=365)


class Quote(BaseModel):
    """What AWS has told of one instance type."""

    model_config = ConfigDict(frozen=True)

    usd: dict[str, float]
    """USD per hour by zone, or of the whole region under ``*``; empty where AWS knows no price."""
    at: AwareDatetime
    """When."""

    def is_younger(self, age: timedelta, moment: datetime) -> bool:
        """Return whether it was told within `age`, and not in the future of a clock that was put back."""
        return timedelta(0) <= moment - self.at < age


class Quotes(BaseModel):
    """All that a file keeps."""

    quotes: dict[Kind, dict[str, Quote]] = Field(default_factory=dict)
    """By kind and instance type."""
    unanswered: dict[Kind, AwareDatetime] = Field(default_factory=dict)
    """When a question of a kind had no answer last: not permitted, no network."""

    def joined(self, other: Quotes) -> Quotes:
        """Return what both know, of each thing what is newer."""
        quotes: dict[Kind, dict[str, Quote]] = {}
        for kind in {**self.quotes, **other.quotes}:
            mine, theirs = self.quotes.get(kind, {}), other.quotes.get(kind, {})
            quotes[kind] = {
                name: max((each[name] for each in (mine, theirs) if name in each), key=lambda quote: quote.at)
                for name in {**mine, **theirs}
            }
        unanswered = {
            kind: max(each.unanswered[kind] for each in (self, other) if kind in each.unanswered)
            for kind in {**self.unanswered, **other.unanswered}
        }
        return Quotes(quotes=quotes, unanswered=unanswered)


class PriceFile:
    """A file of `Quotes`.

    Parameters
    ----------
    path
        Where it lies; None keeps nothing.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path

    def read(self) -> Quotes:
        """Return what the file knows; nothing when it is not there or is not whole."""
        if self._path is None:
            return Quotes()
        try:
            return Quotes.model_validate_json(self._path.read_bytes())
        except FileNotFoundError:
            return Quotes()
        except (OSError, ValidationError) as error:
            _log.info("the prices in %s are left out: %s", self._path, error)
            return Quotes()

    def write(self, quotes: Quotes, moment: datetime) -> None:
        """Add to the file; what another process has written meanwhile stays. Never fails: it is a cache."""
        if self._path is None:
            return
        joined = self.read().joined(quotes)
        kept = {
            kind: {name: quote for name, quote in each.items() if quote.is_younger(_FORGOTTEN_AFTER, moment)}
            for kind, each in joined.quotes.items()
        }
        try:
            with whole_file(self._path) as partial:
                partial.write_text(joined.model_copy(update={"quotes": kept}).model_dump_json(), encoding="utf-8")
        except OSError as error:
            _log.info("the prices could not be kept in %s: %s", self._path, error)
