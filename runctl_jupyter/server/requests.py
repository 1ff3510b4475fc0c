"""Questions and deeds over HTTP."""

from __future__ import annotations

import json
from typing import Any

import tornado.web
from jupyter_server.auth.decorator import authorized

from runctl_jupyter.orchestration.errors import InvalidRequest
from runctl_jupyter.server.base import PanelsHandler

_VERSIONS_DIFFER = "Reload the page: it and the server may have different versions of runctl-jupyter."


class QueryHandler(PanelsHandler):
    """``GET query/<method>?params=<json>&place=<id>``: changes nothing."""

    @tornado.web.authenticated
    @authorized
    async def get(self, method: str) -> None:
        """Answer a question."""
        try:
            params = _json(self.get_query_argument("params", "{}"))
        except InvalidRequest as error:
            await self.refuse(error)
            return
        place = self.get_query_argument("place", None)
        await self.answer(lambda: self.panels().query(method, params, place))


class ActHandler(PanelsHandler):
    """``POST act/<action>`` with ``{"params": …, "place": …}``."""

    @tornado.web.authenticated
    @authorized
    async def post(self, action: str) -> None:
        """Do something."""
        try:
            body = _json(self.request.body)
            if not isinstance(body, dict) or not isinstance(body.get("place"), str | None):
                raise InvalidRequest("The request names neither parameters nor a place.", _VERSIONS_DIFFER)
        except InvalidRequest as error:
            await self.refuse(error)
            return
        await self.answer(lambda: self.panels().act(action, body.get("params"), body.get("place")))


def _json(text: str | bytes) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise InvalidRequest("The request's parameters are not JSON.", _VERSIONS_DIFFER) from error
