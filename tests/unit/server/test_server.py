"""The routes of a real Jupyter server: who may ask, what is answered, how a failure is said."""

from __future__ import annotations

import asyncio
import json
import urllib.request
from http.cookiejar import CookieJar
from typing import Any

import pytest
from tornado.httpclient import HTTPClientError

from runctl_jupyter.orchestration import errors
from runctl_jupyter.orchestration.errors import RunctlError
from runctl_jupyter.run_record import JobState
from runctl_jupyter.server.base import status_of
from tests.unit.panels.conftest import Records
from tests.unit.server.conftest import BASE, TOKEN, Server

JOB = "261124-100000-{}"
ROUTES = [("query/places", "GET"), ("act/cancel", "POST"), ("download", "GET"), ("events", "GET")]
VERBS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]


@pytest.mark.parametrize("path", [path for path, _ in ROUTES])
@pytest.mark.parametrize("method", VERBS)
@pytest.mark.parametrize("token", [None, "wrong"])
def test_nobody_gets_anything_without_the_token(server: Server, path: str, method: str, token: str | None) -> None:
    answer = server.ask(path, method, {"params": {}} if method != "GET" else None, token=token)
    assert answer.status in (403, 405), answer.body
    assert b"sandbox" not in answer.body
    if (path, method) in ROUTES:
        assert answer.status == 403


def test_the_websocket_asks_for_the_token(server: Server) -> None:
    async def connect() -> None:
        for token in (None, "wrong"):
            with pytest.raises(HTTPClientError) as caught:
                await server.follow(token)
            assert caught.value.code == 403

    asyncio.run(connect())


@pytest.fixture
def cookies(server: Server) -> CookieJar:
    """What a browser has after a visit."""
    jar = CookieJar()
    opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(jar))
    opener.open(f"http://127.0.0.1:{server.port}{BASE}login?token={TOKEN}", timeout=30).close()
    return jar


def test_a_cookie_is_not_enough_to_change_the_world(server: Server, cookies: CookieJar) -> None:
    body = {"params": {"job": "nobody"}}
    refused = server.ask("act/cancel", "POST", body, token=None, cookies=cookies)
    assert refused.status == 403
    xsrf = next(str(cookie.value) for cookie in cookies if cookie.name == "_xsrf")
    allowed = server.ask("act/cancel", "POST", body, token=None, cookies=cookies, headers={"X-XSRFToken": xsrf})
    assert (allowed.status, allowed.json["error"]) == (404, "job-not-found")


def test_another_page_cannot_look_with_the_cookie(server: Server, cookies: CookieJar) -> None:
    header = "; ".join(f"{cookie.name}={cookie.value}" for cookie in cookies)

    async def connect(origin: str) -> None:
        socket = await server.follow(None, {"Cookie": header, "Origin": origin})
        socket.close()

    asyncio.run(connect(f"http://127.0.0.1:{server.port}"))
    with pytest.raises(HTTPClientError) as caught:
        asyncio.run(connect("http://elsewhere.example"))
    assert caught.value.code == 403


def test_every_handler_asks_who_and_whether(server: Server) -> None:
    """A guard for handlers to come: a verb that is defined here is wrapped by both decorators."""
    from runctl_jupyter.server.base import AUTH_RESOURCE
    from runctl_jupyter.server.download import DownloadHandler
    from runctl_jupyter.server.events import EventsHandler
    from runctl_jupyter.server.requests import ActHandler, QueryHandler

    for handler in (ActHandler, DownloadHandler, EventsHandler, QueryHandler):
        assert handler.auth_resource == AUTH_RESOURCE
        assert handler._track_activity is False
        verbs = [handler.__dict__[verb.lower()] for verb in VERBS if verb.lower() in handler.__dict__]
        assert len(verbs) == 1
        depth, function = 0, verbs[0]
        while hasattr(function, "__wrapped__"):
            depth, function = depth + 1, function.__wrapped__
        assert depth == 2, handler


def test_a_question_is_answered(server: Server, records: Records) -> None:
    job = records.job(JobState.SUCCEEDED, job_id=JOB.format("aaaa"))
    answer = server.query("card", job=job)
    assert (answer.status, answer.json["job"]["id"]) == (200, job)
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Content-Type"] == "application/json"


def test_failures_are_said_in_two_lines(server: Server) -> None:
    cases = [
        (server.query("card", job="nobody"), 404, "job-not-found"),
        (server.query("card"), 400, "invalid-request"),
        (server.query("weather"), 400, "invalid-request"),
        (server.ask("query/card", params="{"), 400, "invalid-request"),
        (server.ask("query/card", params="{}", place="ffffffffffff"), 400, "invalid-request"),
        (server.ask("act/cancel", "POST", [1]), 400, "invalid-request"),
        (server.ask("act/cancel", "POST", {"params": {}, "place": 3}), 400, "invalid-request"),
        (server.act("start", instance="dev"), 503, "target-unavailable"),
        (server.ask("download"), 400, "invalid-request"),
        (server.ask("download", log="nobody"), 404, "job-not-found"),
    ]
    for answer, status, error in cases:
        assert (answer.status, answer.json["error"]) == (status, error), answer.body
        assert set(answer.json) == {"error", "what", "to_resolve"}
        assert all(answer.json.values())


def test_every_error_has_a_status() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, RunctlError)]
    unmapped = {kind.__name__ for kind in kinds if status_of(kind.__new__(kind)) == 500}
    # None of the panels' questions and deeds waits for a job's success.
    assert unmapped == {"RunctlError", "JobFailed", "RemoteError"}


def test_a_log_is_downloaded_byte_for_byte(server: Server, records: Records) -> None:
    job = records.job(job_id=JOB.format("bbbb"), name='a "name"; x=é')
    data = bytes(range(256)) * 10_000
    records.chunk(data, job_id=job)
    records.status(JobState.SUCCEEDED, job_id=job)
    answer = server.ask("download", log=job)
    assert answer.body == data
    assert answer.headers["Content-Type"] == "application/octet-stream"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "sandbox" in answer.headers["Content-Security-Policy"]
    disposition = answer.headers["Content-Disposition"]
    assert disposition.startswith('attachment; filename="a__name___x__-bbbb.log"; ')
    assert disposition.endswith("filename*=UTF-8''a%20%22name%22%3B%20x%3D%C3%A9-bbbb.log")
    empty = records.job(JobState.SUCCEEDED, job_id=JOB.format("cccc"))
    assert server.ask("download", log=empty).body == b""


def test_a_page_follows_over_the_websocket(server: Server, records: Records) -> None:
    job = records.job(job_id=JOB.format("dddd"))
    records.chunk(b"one\n", job_id=job)

    async def follow() -> list[dict[str, Any]]:
        socket = await server.follow()
        for number, topic, params in (("1", "log", {"job": job}), ("2", "weather", {})):
            await socket.write_message(
                json.dumps({"type": "subscribe", "id": number, "topic": topic, "params": params})
            )
        heard: list[dict[str, Any]] = []
        async with asyncio.timeout(60):
            while "two" not in json.dumps(heard) or "weather" not in json.dumps(heard):
                if "one" in json.dumps(heard) and records.status_of(job) == "running":
                    records.chunk(b"two\n", job_id=job)
                    records.status(JobState.SUCCEEDED, job_id=job)
                heard.append(json.loads(str(await socket.read_message())))
        socket.close()
        return heard

    heard = asyncio.run(follow())
    pieces = [
        p for m in heard if m["type"] == "events" for e in m["events"] if e["id"] == "1" for p in e["event"]["pieces"]
    ]
    assert "".join(piece["text"] for piece in pieces) == "one\ntwo\n"
    (status,) = [m for m in heard if m["type"] == "status" and m["id"] == "2"]
    assert status["trouble"]["error"] == "invalid-request"


@pytest.mark.parametrize("said", ["{", "[]", '{"type": "act", "id": "1", "method": "cancel", "params": {}}'])
def test_the_websocket_is_for_looking_only(server: Server, said: str) -> None:
    async def say() -> int | None:
        socket = await server.follow()
        await socket.write_message(said)
        async with asyncio.timeout(60):
            assert await socket.read_message() is None
        return socket.close_code

    assert asyncio.run(say()) == 1008


def test_an_open_panel_does_not_keep_the_server_alive(server: Server) -> None:
    def last_activity() -> str:
        request = urllib.request.Request(
            f"http://127.0.0.1:{server.port}{BASE}api/status?no_track_activity=1",
            headers={"Authorization": f"token {TOKEN}"},
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            return str(json.load(answer)["last_activity"])

    before = last_activity()
    server.query("places")
    server.act("cancel", job="nobody")
    assert last_activity() == before
