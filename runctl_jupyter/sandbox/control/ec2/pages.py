"""Lists of EC2 in pages, which moto gives whole (EC2 API reference: MaxResults from 5 to 1,000)."""

from __future__ import annotations

from typing import Any

from moto.core.responses import ActionResult
from moto.ec2.responses import EC2Response

from runctl_jupyter.sandbox.control.ec2.paging import page

_LEAST, _MOST = 5, 1000


class PagedLists(EC2Response):  # type: ignore[misc]
    """Describes that answer MaxResults and NextToken."""

    def describe_images(self) -> ActionResult:
        """DescribeImages."""
        return self._page("Images", super().describe_images())

    def describe_spot_instance_requests(self) -> ActionResult:
        """DescribeSpotInstanceRequests."""
        return self._page("SpotInstanceRequests", super().describe_spot_instance_requests())

    def _page(self, key: str, whole: ActionResult) -> ActionResult:
        """Return the page asked for of a whole answer; without MaxResults it is the whole."""
        if self._get_param("MaxResults") is None and self._get_param("NextToken") is None:
            return whole
        told: Any = whole.result
        rows, following = page(told[key], self.params, least=_LEAST, most=_MOST)
        return ActionResult({**told, key: rows, "NextToken": following})
