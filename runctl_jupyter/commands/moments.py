"""Moments on the command line: how long ago, or when."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import click


class Moment(click.ParamType[datetime]):
    """``10m`` (ago) or an ISO 8601 time, local unless it names its zone."""

    name = "moment"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """Return the moment; InvalidRequest when it is neither."""
        from runctl_jupyter.orchestration import parse_duration
        from runctl_jupyter.orchestration.errors import InvalidRequest

        if isinstance(value, datetime):
            return value
        text = str(value).strip()
        try:
            return datetime.fromisoformat(text).astimezone()
        except ValueError:
            pass
        try:
            return datetime.now().astimezone() - timedelta(seconds=parse_duration(text))
        except (InvalidRequest, OverflowError) as error:
            raise InvalidRequest(
                f"{text!r} is neither a duration nor a time.",
                "Write how long ago (90s, 30m, 8h, 2d), or when: 2026-11-24T10:00, with Z or +01:00 if not local.",
            ) from error


MOMENT = Moment()
