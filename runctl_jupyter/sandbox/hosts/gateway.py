"""The one way out of an isolated machine: forwarders to the emulated services, and a proxy like a VPC's NAT.

All of it runs in one event loop of the sandbox. Listeners live in the machines' network namespaces, outgoing
connections start from the sandbox's own.
"""

from __future__ import annotations

import asyncio
import base64
import ipaddress
import socket
import ssl
import struct
import threading
import urllib.request
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar
from urllib.parse import SplitResult, unquote, urlsplit

T = TypeVar("T")
Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
HEAD_TIMEOUT_S = 30.0
CONNECT_TIMEOUT_S = 20.0


class ForbiddenTargetError(Exception):
    """A machine asked for an address that a VPC would not route."""


def _check_address(text: str) -> None:
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:  # a name: checked again once it is resolved
        if text.lower().rstrip(".").endswith("localhost"):
            raise ForbiddenTargetError(text) from None
        return
    address = getattr(address, "ipv4_mapped", None) or address
    if address.is_loopback or address.is_link_local or address.is_multicast or address.is_unspecified:
        raise ForbiddenTargetError(text)


def _never() -> bool:
    return False


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close with a TCP reset, so that the peer sees a failure and not a short answer."""
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(1 << 16):
        writer.write(data)
        await writer.drain()
    if writer.can_write_eof():
        writer.write_eof()


async def _relay(inner: Connection, outer: Connection) -> None:
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(_pump(inner[0], outer[1]))
            group.create_task(_pump(outer[0], inner[1]))
    except* OSError:  # one side was reset: so is the other
        _reset(inner[1])
    finally:
        outer[1].close()


async def _connect(host: str, port: int) -> Connection:
    """Connect to the first address of `host` that answers; every address is checked before it is used."""
    loop = asyncio.get_running_loop()
    failure: OSError = ConnectionRefusedError(f"{host} has no address")
    for *_, address in await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        _check_address(str(address[0]))
        try:
            return await asyncio.open_connection(str(address[0]), port)
        except OSError as error:
            failure = error
    raise failure


async def _connect_upstream(proxy: SplitResult) -> Connection:
    """Connect to the proxy this machine itself is set up for."""
    context = ssl.create_default_context() if proxy.scheme == "https" else None
    return await asyncio.open_connection(proxy.hostname, proxy.port or 80, ssl=context)


def _upstream_for(scheme: str, host: str) -> SplitResult | None:
    url = urllib.request.getproxies().get(scheme)
    if not url or urllib.request.proxy_bypass(host):
        return None
    return urlsplit(url if "://" in url else f"http://{url}")


def _authorization(proxy: SplitResult) -> str:
    if proxy.username is None:
        return ""
    pair = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}".encode()
    return f"Proxy-Authorization: Basic {base64.b64encode(pair).decode()}\r\n"


def _headers_for_origin(lines: list[str]) -> str:
    """Headers without those meant for the proxy; one request per connection keeps host and connection together."""
    dropped = ("connection:", "proxy-", "keep-alive:")
    return "".join(f"{line}\r\n" for line in lines if line and not line.lower().startswith(dropped))


async def _tunnel(inner: Connection, target: str) -> None:
    """Serve ``CONNECT host:port``."""
    host, _, port = target.rpartition(":")
    host = host.strip("[]")
    _check_address(host)
    upstream = _upstream_for("https", host)
    if upstream is None:
        outer = await asyncio.wait_for(_connect(host, int(port)), CONNECT_TIMEOUT_S)
        inner[1].write(b"HTTP/1.1 200 Connection established\r\n\r\n")
    else:
        outer = await asyncio.wait_for(_connect_upstream(upstream), CONNECT_TIMEOUT_S)
        request = f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{_authorization(upstream)}\r\n"
        outer[1].write(request.encode("latin-1"))
    await _relay(inner, outer)


async def _pass_request(inner: Connection, method: str, url: str, headers: list[str]) -> None:
    """Serve ``GET http://host/path`` and its like."""
    parts = urlsplit(url)
    if parts.scheme != "http" or not parts.hostname:
        raise ValueError(url)
    _check_address(parts.hostname)
    upstream = _upstream_for("http", parts.hostname)
    if upstream is None:
        outer = await asyncio.wait_for(_connect(parts.hostname, parts.port or 80), CONNECT_TIMEOUT_S)
        target, extra = f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}", ""
    else:
        outer = await asyncio.wait_for(_connect_upstream(upstream), CONNECT_TIMEOUT_S)
        target, extra = url, _authorization(upstream)
    head = f"{method} {target} HTTP/1.1\r\n{_headers_for_origin(headers)}{extra}Connection: close\r\n\r\n"
    outer[1].write(head.encode("latin-1"))
    await _relay(inner, outer)


async def _serve_proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    def refuse(status: str, why: str) -> None:
        body = f"sandbox proxy: {why}\n"
        writer.write(f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n{body}".encode())

    try:
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), HEAD_TIMEOUT_S)
        request, *headers = head.decode("latin-1").split("\r\n")
        method, target, _ = request.split(" ")
        if method == "CONNECT":
            await _tunnel((reader, writer), target)
        else:
            await _pass_request((reader, writer), method, target, headers)
    except ForbiddenTargetError as error:
        refuse("403 Forbidden", f"{error} is not reachable from a VPC")
    except (ValueError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        refuse("400 Bad Request", "cannot read the request")
    except (OSError, ssl.SSLError) as error:  # TimeoutError is an OSError
        refuse("502 Bad Gateway", str(error) or "the target did not answer")


class Service:
    """A listener being served; `close` ends it and every connection made through it."""

    def __init__(self, gateway: Gateway, server: asyncio.Server, connections: set[asyncio.Task[Any]]) -> None:
        self._gateway = gateway
        self._server = server
        self._connections = connections

    def close(self) -> None:
        """Stop listening and drop all connections."""

        async def stop() -> None:
            self._server.close()
            tasks = list(self._connections)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        self._gateway.call(stop())


class Gateway:
    """One event loop in one thread for all machines of a sandbox."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="sandbox-gateway", daemon=True)
        self._thread.start()

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        """Run `work` in the loop and wait for it."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def forward(
        self,
        listener: socket.socket,
        host: str,
        port: int,
        source: str | None = None,
        unplugged: Callable[[], bool] = _never,
    ) -> Service:
        """Carry each connection of `listener` to `host`:`port` as seen by the sandbox.

        Parameters
        ----------
        source
            Address that the connections to `host` come from, so that it can tell whose they are.
        unplugged
            Asked for each connection: those made while it says so are reset.
        """

        async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            if unplugged():
                _reset(writer)
                return
            try:
                outer = await asyncio.open_connection(host, port, local_addr=(source, 0) if source else None)
            except OSError:  # nobody listens there
                _reset(writer)
                return
            await _relay((reader, writer), outer)

        return self._serve(listener, carry)

    def proxy(self, listener: socket.socket, unplugged: Callable[[], bool] = _never) -> Service:
        """Serve an HTTP proxy (CONNECT and plain requests) on `listener`; `unplugged` as for `forward`."""

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            if unplugged():
                _reset(writer)
                return
            await _serve_proxy(reader, writer)

        return self._serve(listener, serve)

    def _serve(self, listener: socket.socket, handler: Handler) -> Service:
        connections: set[asyncio.Task[Any]] = set()

        async def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            if task is None:
                raise RuntimeError("a stream handler runs in a task")
            connections.add(task)
            try:
                await handler(reader, writer)
            except asyncio.CancelledError:  # the machine is off; the stream protocol logs a task that ends cancelled
                writer.transport.abort()
            finally:
                connections.discard(task)
                writer.close()

        server = self.call(asyncio.start_server(accepted, sock=listener))
        return Service(self, server, connections)

    def close(self) -> None:
        """Stop the loop; services must be closed first."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
