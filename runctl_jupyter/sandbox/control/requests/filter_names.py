"""Which filters EC2's Describe operations know: their documentation, which comes with the model, lists them."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from runctl_jupyter.sandbox.control.requests.protocol_errors import ServiceError
from runctl_jupyter.sandbox.control.requests.services import model_of

_LISTED = re.compile(r"<li>\s*<p>\s*<code>([^<]+)</code>")
_MEMBERS = ("Filters", "Filter")


@lru_cache(maxsize=256)
def filter_names(operation: str) -> frozenset[str]:
    """Names of an operation's filters; empty when its documentation lists none."""
    shape = model_of("ec2").operation_model(operation).input_shape
    members = shape.members if shape is not None else {}
    texts = [members[one].documentation for one in _MEMBERS if one in members]
    return frozenset(html.unescape(name) for text in texts for name in _LISTED.findall(text))


def check_filters(operation: str, parameters: Mapping[str, Any]) -> None:
    """Refuse filters that the operation does not know.

    Raises
    ------
    ServiceError
        ``InvalidParameterValue``, as EC2 says it.
    """
    asked = [one for member in _MEMBERS for one in parameters.get(member) or () if isinstance(one, dict)]
    if not asked:
        return
    known = filter_names(operation)
    by_tag = any(name.partition(":")[0] == "tag" for name in known)
    for one in asked:
        name = one.get("Name", "null")
        if known and name not in known and not (by_tag and name.startswith("tag:")):
            raise ServiceError("InvalidParameterValue", f"The filter '{name}' is invalid")
