"""Launch templates and fleets on disk, so that a sandbox that comes back knows which tokens it has served."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from moto.core.types import Base64EncodedString

from runctl_jupyter.sandbox.control.ec2.fleet import tags_on
from runctl_jupyter.sandbox.control.ec2.fleets import InstantFleet
from runctl_jupyter.sandbox.control.store import StateStore

_TEMPLATES, _FLEETS = "launch-templates", "fleets"
FLEETS_KEPT = timedelta(hours=1)
"""Fleets older than this are forgotten, as their instances are soon after their end."""


class LaunchJournal:
    """Keeps what `backend` has of templates and fleets."""

    def __init__(self, store: StateStore, backend: Any) -> None:
        self._store = store
        self._backend = backend
        self._lock = threading.Lock()

    def save_templates(self) -> None:
        """Keep all templates as they are now."""
        with self._lock:  # or an older picture could be written over a newer one
            self._save_templates()

    def save_fleets(self) -> None:
        """Keep the fleets of late as they are now, and forget the others."""
        with self._lock:
            self._save_fleets()

    def _save_templates(self) -> None:
        tokens = {
            template_id: (token, digest) for token, (digest, template_id) in self._backend.template_tokens.items()
        }
        self._set(_TEMPLATES, [
            {
                "id": template.id,
                "name": template.name,
                "created": template.create_time.isoformat(),
                "default": template.default_version_number,
                "tags": tags_on(template),
                "versions": [[version.data, version.description] for version in template.versions],
                "token": tokens.get(template.id),
            }
            for template in list(self._backend.launch_templates.values())
        ])  # fmt: skip

    def _save_fleets(self) -> None:
        horizon = datetime.now(UTC) - FLEETS_KEPT
        for fleet_id in [one.id for one in list(self._backend.fleets.values()) if one.create_time < horizon]:
            self._backend.fleets.pop(fleet_id, None)
        self._set(_FLEETS, [
            {
                "id": fleet.id,
                "digest": fleet.digest,
                "request": fleet.request,
                "created": fleet.create_time.isoformat(),
                "state": fleet.state,
                "instances": fleet.instances,
                "errors": fleet.errors,
                "tags": tags_on(fleet),
            }
            for fleet in list(self._backend.fleets.values())
        ])  # fmt: skip

    def restore(self) -> None:
        """Bring back what was kept."""
        for record in self._store.fact(_TEMPLATES) or []:
            self._restore_template(record)
        for record in self._store.fact(_FLEETS) or []:
            fleet = InstantFleet(self._backend, record["id"], record["digest"], record["request"])
            fleet.create_time = datetime.fromisoformat(record["created"])
            fleet.state, fleet.instances, fleet.errors = record["state"], record["instances"], record["errors"]
            self._backend.fleets[fleet.id] = fleet
            fleet.add_tags(record["tags"])

    def _restore_template(self, record: Mapping[str, Any]) -> None:
        backend, versions = self._backend, record["versions"]
        template = backend.create_launch_template(record["name"], versions[0][1], _data(versions[0][0]), {})
        del backend.launch_templates[template.id]
        template.id = record["id"]
        backend.launch_templates[template.id] = template
        backend.launch_template_name_to_ids[template.name] = template.id
        for data, description in versions[1:]:
            template.create_version(_data(data), description)
        template.default_version_number = record["default"]
        template.create_time = datetime.fromisoformat(record["created"])
        template.add_tags(record["tags"])
        if record["token"]:
            token, digest = record["token"]
            backend.template_tokens[token] = (digest, template.id)

    def _set(self, name: str, records: list[dict[str, Any]]) -> None:
        self._store.set_fact(name, json.loads(json.dumps(records, default=str)))


def _data(kept: Mapping[str, Any]) -> dict[str, Any]:
    """Give the data of a template as moto wants it."""
    user_data = kept.get("UserData")
    return {**kept, **({"UserData": Base64EncodedString(user_data)} if user_data else {})}
