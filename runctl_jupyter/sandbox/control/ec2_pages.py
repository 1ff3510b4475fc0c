"""Lists of EC2 in pages, which moto gives whole.

Range of MaxResults: EC2 API reference, of each action (5 to 1,000).
"""

from __future__ import annotations

from moto.core.responses import ActionResult
from moto.ec2.responses import EC2Response

from runctl_jupyter.sandbox.control.paging import page


class PagedLists(EC2Response):  # type: ignore[misc]
    """Describes of moto's that answer MaxResults and NextToken."""

    def describe_images(self) -> ActionResult:
        """DescribeImages."""
        return self._page("Images", super().describe_images())

    def describe_spot_instance_requests(self) -> ActionResult:
        """DescribeSpotInstanceRequests."""
        return self._page("SpotInstanceRequests", super().describe_spot_instance_requests())

    def _page(self, key: str, whole: ActionResult) -> ActionResult:
        rows, following = page(whole.result[key], self.params, least=5, most=1000)
        return ActionResult({**whole.result, key: rows, "NextToken": following})
