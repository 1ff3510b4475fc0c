"""Launch templates: kept by moto, checked as EC2 checks them, and merged into what is launched from them."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from typing import Any

from moto.core.responses import ActionResult
from moto.ec2.responses._base_response import EC2BaseResponse

from runctl_jupyter.sandbox.control.ec2 import launch_rules as rules
from runctl_jupyter.sandbox.control.ec2.freshness import hide
from runctl_jupyter.sandbox.control.ec2.launch_rules import refuse
from runctl_jupyter.sandbox.control.ec2.paging import page

_NAME = re.compile(r"[a-zA-Z0-9().\-/_]{3,128}")
_ID = re.compile(r"lt-(?:[0-9a-f]{8}|[0-9a-f]{17})")


def find_template(backend: Any, named: Mapping[str, Any]) -> tuple[Any, Any]:
    """Give a launch template and the version of it that a ``LaunchTemplateSpecification`` names."""
    template_id, name = named.get("LaunchTemplateId"), named.get("LaunchTemplateName")
    if (template_id is None) == (name is None):
        raise refuse(
            "InvalidParameterCombination", "Specify either the ID or the name of the launch template, but not both."
        )
    if template_id is not None:
        _check_id(template_id)
        template = backend.get_launch_template(template_id)
    else:
        template = backend.get_launch_template_by_name(name)
    wanted = str(named.get("Version") or "$Default")
    if not re.fullmatch(r"\$(Latest|Default)|[1-9]\d*", wanted):
        raise refuse("InvalidLaunchTemplateId.VersionNotFound", f"Invalid launch template version: {wanted}")
    return template, template.get_version(wanted)


def _check_id(template_id: str) -> None:
    if not _ID.fullmatch(template_id):
        raise refuse("InvalidLaunchTemplateId.Malformed", f'Invalid id: "{template_id}"')


def template_tags(template: Any, version: Any) -> dict[str, str]:
    """Tags that EC2 gives to instances of a launch template (EC2 User Guide, "Tag restrictions": ``aws:`` is its)."""
    return {"aws:ec2launchtemplate:id": template.id, "aws:ec2launchtemplate:version": str(version.number)}


def merge_template(data: Mapping[str, Any], request: Mapping[str, Any]) -> dict[str, Any]:
    """Give the request that a template and the parameters beside it make; those win, tags are joined by key."""
    kept = {name: value for name, value in request.items() if name != "LaunchTemplate"}
    merged = {**copy.deepcopy(dict(data)), **copy.deepcopy(kept)}
    kinds: dict[str, dict[str, str]] = {}
    for source in (data, request):
        for kind, tags in rules.tags_of(source).items():
            kinds.setdefault(kind, {}).update(tags)
    if kinds:
        merged["TagSpecifications"] = [
            {"ResourceType": kind, "Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}
            for kind, tags in kinds.items()
        ]
    return merged


class LaunchTemplateActions(EC2BaseResponse):  # type: ignore[misc]
    """CreateLaunchTemplate and its kin."""

    def create_launch_template(self) -> ActionResult:
        """CreateLaunchTemplate: its data is checked now, what it names only when it is launched."""
        request, backend = self.params, self.ec2_backend
        name, data = str(request.get("LaunchTemplateName", "")), copy.deepcopy(request.get("LaunchTemplateData") or {})
        if not _NAME.fullmatch(name):
            raise refuse(
                "InvalidLaunchTemplateName.MalformedException",
                "A launch template name must be between 3 and 128 characters, and may contain letters, numbers, and "
                "the following characters: - ( ) . / _",
            )
        _check_data(data)
        rules.check_tags(request, spot=False, kinds=("launch-template",))
        self.error_on_dryrun()
        token, digest = request.get("ClientToken"), rules.request_digest(request)
        known = backend.template_tokens.get(token)
        if known is not None and known[1] in backend.launch_templates:
            if known[0] != digest:
                raise rules.token_mismatch()
            template = backend.launch_templates[known[1]]
        else:
            tags = {kind: dict(pairs) for kind, pairs in rules.tags_of(request).items()}
            template = backend.create_launch_template(name, request.get("VersionDescription"), data, tags)
            hide(template, backend.fleet.settings.visible_s)
            if token:
                backend.template_tokens[token] = (digest, template.id)
            backend.keep_templates()
        return ActionResult({"LaunchTemplate": self._shown(template)})

    def create_launch_template_version(self) -> ActionResult:
        """CreateLaunchTemplateVersion, whose data is checked as well."""
        if self.params.get("SourceVersion"):
            raise NotImplementedError("CreateLaunchTemplateVersion with a source version")
        _check_data(self.params.get("LaunchTemplateData") or {})
        made = super().create_launch_template_version()
        self.ec2_backend.keep_templates()
        return made

    def modify_launch_template(self) -> ActionResult:
        """ModifyLaunchTemplate: another version becomes the default."""
        changed = super().modify_launch_template()
        self.ec2_backend.keep_templates()
        return changed

    def delete_launch_template(self) -> ActionResult:
        """DeleteLaunchTemplate; instances of it live on."""
        template, _ = find_template(self.ec2_backend, {**self.params, "Version": None})
        self.error_on_dryrun()
        shown = self._shown(template)
        self.ec2_backend.delete_launch_template(template.name, template.id)
        self.ec2_backend.forget_template(template.id)
        self.ec2_backend.keep_templates()
        return ActionResult({"LaunchTemplate": shown})

    def describe_launch_templates(self) -> ActionResult:
        """DescribeLaunchTemplates, in pages of up to 200; an id that is unknown refuses the request."""
        ids, names = self._get_param("LaunchTemplateIds", []), self._get_param("LaunchTemplateNames", [])
        for template_id in ids:
            _check_id(template_id)
            self.ec2_backend.get_launch_template(template_id)
        for name in names:
            self.ec2_backend.get_launch_template_by_name(name)
        found = self.ec2_backend.describe_launch_templates(
            template_names=names, template_ids=ids, filters=self._filters_from_querystring()
        )
        self.error_on_dryrun()
        shown, following = page([self._shown(one) for one in found], self.params, least=1, most=200)
        return ActionResult({"LaunchTemplates": shown, "NextToken": following})

    def _shown(self, template: Any) -> dict[str, Any]:
        return {
            "CreateTime": template.create_time,
            "CreatedBy": f"arn:aws:iam::{self.current_account}:root",
            "DefaultVersionNumber": template.default_version_number,
            "LatestVersionNumber": template.latest_version_number,
            "LaunchTemplateId": template.id,
            "LaunchTemplateName": template.name,
            "Tags": template.get_tags(),
        }


def _check_data(data: Mapping[str, Any]) -> None:
    if not data:
        raise refuse("MissingParameter", "The request must contain the parameter LaunchTemplateData")
    rules.check_combinations(data)
    rules.check_spot(data)
    rules.check_tags(data, spot=True)
    rules.check_metadata_options(data)
    rules.check_user_data(data)
