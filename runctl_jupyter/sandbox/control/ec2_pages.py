"""Lists of EC2 in pages, which moto gives whole.

Ranges of MaxResults: EC2 API reference, of each action (5 to 1,000; DescribeLaunchTemplates 1 to 200).
"""

from __future__ import annotations

import base64
import binascii
from typing import Any

from moto.core.responses import ActionResult
from moto.ec2.responses import EC2Response

from runctl_jupyter.sandbox.control.launch_rules import invalid_value, refuse

_MOST = 1000
_MOST_TEMPLATES = 200


class PagedLists(EC2Response):  # type: ignore[misc]
    """Describes that answer MaxResults and NextToken."""

    def describe_volumes(self) -> ActionResult:
        """DescribeVolumes."""
        return self._page("Volumes", super().describe_volumes())

    def describe_snapshots(self) -> ActionResult:
        """DescribeSnapshots."""
        return self._page("Snapshots", super().describe_snapshots())

    def describe_images(self) -> ActionResult:
        """DescribeImages."""
        return self._page("Images", super().describe_images())

    def describe_spot_instance_requests(self) -> ActionResult:
        """DescribeSpotInstanceRequests."""
        return self._page("SpotInstanceRequests", super().describe_spot_instance_requests())

    def describe_fleets(self) -> ActionResult:
        """DescribeFleets: one of type ``instant`` appears only when its id is named."""
        named = self._get_param("FleetIds", [])
        fleets = self.ec2_backend.describe_fleets(named)
        shown = [fleet for fleet in fleets if named or fleet.type != "instant"]
        return self._page("Fleets", ActionResult({"Fleets": shown}))

    def describe_launch_templates(self) -> ActionResult:
        """DescribeLaunchTemplates."""
        asked = self._get_param("MaxResults")
        self.params["MaxResults"] = len(self.ec2_backend.launch_templates)  # moto cuts there, and says nothing
        whole = super().describe_launch_templates()
        self.params["MaxResults"] = asked
        return self._page("LaunchTemplates", whole, least=1, most=_MOST_TEMPLATES)

    def _page(self, key: str, whole: ActionResult, *, least: int = 5, most: int = _MOST) -> ActionResult:
        """Return the page asked for of a whole answer; without MaxResults it is the whole."""
        asked, token = self._get_param("MaxResults"), self._get_param("NextToken")
        if asked is None and token is None:
            return whole
        size = most if asked is None else int(asked)
        if not least <= size <= most:
            raise invalid_value(
                f"Value ( {asked} ) for parameter maxResults is invalid. Expecting a value in {least}-{most}."
            )
        rows: list[Any] = whole.result[key]
        start = _start_of(token)
        more = {"NextToken": _token_of(start + size)} if start + size < len(rows) else {}
        return ActionResult({**whole.result, key: rows[start : start + size], **more})


def _token_of(start: int) -> str:
    return base64.urlsafe_b64encode(f"rows-{start}".encode()).decode()


def _start_of(token: str | None) -> int:
    if token is None:
        return 0
    try:
        word, _, number = base64.urlsafe_b64decode(token).decode().partition("-")
        if word == "rows":
            return int(number)
    except (binascii.Error, ValueError):
        pass
    raise refuse("InvalidNextToken", f"The pagination token {token} is not valid")
