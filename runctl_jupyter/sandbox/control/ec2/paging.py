"""Pages of EC2's lists (EC2 API reference, "Query requests": MaxResults and NextToken)."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any, TypeVar

from runctl_jupyter.sandbox.control.ec2.launch_rules import invalid_value, refuse

T = TypeVar("T")


def page(found: Iterable[T], request: Mapping[str, Any], *, least: int, most: int) -> tuple[list[T], str | None]:
    """Give the page that a request asks for and the token of the next one.

    Parameters
    ----------
    least, most
        Range of ``MaxResults``; `most` are given when it is not there.
    """
    asked, token = request.get("MaxResults"), request.get("NextToken")
    if asked is not None and not least <= int(asked) <= most:
        raise invalid_value(
            f"Value ( {asked} ) for parameter maxResults is invalid. Expecting a value in {least}-{most}."
        )
    size = most if asked is None else int(asked)
    start = 0
    if token:
        try:
            start = int(base64.urlsafe_b64decode(str(token)))
        except (ValueError, binascii.Error) as error:
            raise refuse("InvalidNextToken", f"The token '{token}' is invalid") from error
    rest = list(islice(found, start, start + size + 1))
    following = base64.urlsafe_b64encode(str(start + size).encode()).decode() if len(rest) > size else None
    return rest[:size], following
