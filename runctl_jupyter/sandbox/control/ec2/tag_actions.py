"""CreateTags and DeleteTags, with the rules that tags have at a launch (EC2 User Guide, "Tag restrictions")."""

from __future__ import annotations

from moto.core.responses import ActionResult, EmptyResult
from moto.ec2.responses._base_response import EC2BaseResponse

from runctl_jupyter.sandbox.control.ec2 import launch_rules as rules


class TagActions(EC2BaseResponse):  # type: ignore[misc]
    """Changes of tags of what exists."""

    def create_tags(self) -> ActionResult | EmptyResult:
        """CreateTags."""
        rules.check_tag_list(self._get_param("Tags", []))
        self._refuse_fresh()
        return super().create_tags()

    def delete_tags(self) -> ActionResult | EmptyResult:
        """DeleteTags: AWS's own tags stay."""
        for tag in self._get_param("Tags", []):
            rules.check_tag_key(str(tag.get("Key", "")))
        self._refuse_fresh()
        return super().delete_tags()

    def _refuse_fresh(self) -> None:
        ids = self._get_param("Resources", [])
        self.ec2_backend.refuse_fresh([one for one in ids if one.startswith("i-")])
