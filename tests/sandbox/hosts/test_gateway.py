"""The one way out of isolated machines: forwarder and proxy, tried on the loopback."""

from __future__ import annotations

import http.client
import socket
import threading
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from runctl_jupyter.sandbox.hosts import gateway as gateway_module
from runctl_jupyter.sandbox.hosts.gateway import Gateway, Service


@pytest.fixture
def gateway(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gateway]:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    made = Gateway()
    yield made
    made.close()


@pytest.fixture
def proxy(gateway: Gateway) -> Iterator[int]:
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    service = gateway.proxy(listener)
    yield port
    service.close()


@pytest.fixture
def loopback_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets the proxy reach the tests' own servers, which all listen on the loopback."""
    monkeypatch.setattr(gateway_module, "_check_address", lambda _: None)


def get(port: int, target: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", target)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def echo_server() -> tuple[socket.socket, int]:
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connection, _ = server.accept()
        with connection:
            while data := connection.recv(1 << 16):
                connection.sendall(data)

    threading.Thread(target=serve, daemon=True).start()
    return server, server.getsockname()[1]


def deaf_socket() -> socket.socket:
    """Take a port that refuses connections, and that nobody else can get meanwhile."""
    taken = socket.socket()
    taken.bind(("127.0.0.1", 0))
    return taken


def first_byte(port: int) -> bytes:
    with socket.create_connection(("127.0.0.1", port), 10) as client:
        return client.recv(1)


def forwarded(gateway: Gateway, port: int) -> tuple[Service, int]:
    listener = socket.create_server(("127.0.0.1", 0))
    return gateway.forward(listener, "127.0.0.1", port), listener.getsockname()[1]


def test_forwarder_carries_megabytes_and_half_close(gateway: Gateway) -> None:
    server, target = echo_server()
    service, port = forwarded(gateway, target)
    sent = bytes(range(256)) * (1 << 14)
    with server, socket.create_connection(("127.0.0.1", port), 10) as client:

        def send() -> None:
            client.sendall(sent)
            client.shutdown(socket.SHUT_WR)

        sender = threading.Thread(target=send)
        sender.start()
        received = b"".join(iter(lambda: client.recv(1 << 16), b""))
        sender.join()
    assert received == sent
    service.close()


def test_forwarder_to_nobody_is_a_reset(gateway: Gateway) -> None:
    with deaf_socket() as deaf:
        service, port = forwarded(gateway, deaf.getsockname()[1])
        with pytest.raises(ConnectionResetError):  # on a busy machine as early as in connect
            first_byte(port)
    service.close()


def test_close_drops_open_connections(gateway: Gateway) -> None:
    server, target = echo_server()
    service, port = forwarded(gateway, target)
    with server, socket.create_connection(("127.0.0.1", port), 10) as client:
        client.sendall(b"ping")
        assert client.recv(4) == b"ping"
        service.close()
        assert client.recv(1) == b""
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), 10)


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "127.8.8.8", "localhost", "a.localhost", "[::1]", "[::ffff:127.0.0.1]", "169.254.169.254", "0.0.0.0"],
)
def test_proxy_refuses_loopback_and_link_local(proxy: int, host: str) -> None:
    status, body = get(proxy, f"http://{host}:80/")
    assert (status, b"not reachable from a VPC" in body) == (403, True)
    connection = http.client.HTTPConnection("127.0.0.1", proxy, timeout=5)
    connection.set_tunnel(host.strip("[]"), 443)
    with pytest.raises(OSError, match="403"):
        connection.connect()
    connection.close()


@pytest.mark.parametrize("target", ["/relative", "ftp://host/x", "http:///x", "http://host:port/x"])
def test_proxy_says_400_to_what_it_cannot_read(proxy: int, target: str) -> None:
    assert get(proxy, target)[0] == 400


@pytest.mark.usefixtures("loopback_allowed")
def test_proxy_passes_plain_requests(proxy: int, hello_url: str) -> None:
    assert get(proxy, f"{hello_url}/simple/?a=b") == (200, b"hello /simple/?a=b")


@pytest.mark.usefixtures("loopback_allowed")
def test_proxy_tunnels(proxy: int, hello_url: str) -> None:
    target = urlsplit(hello_url)
    connection = http.client.HTTPConnection("127.0.0.1", proxy, timeout=5)
    connection.set_tunnel(str(target.hostname), target.port)
    connection.request("GET", "/inside")
    assert connection.getresponse().read() == b"hello /inside"
    connection.close()


@pytest.mark.usefixtures("loopback_allowed")
def test_proxy_says_502_when_nobody_answers(proxy: int) -> None:
    with deaf_socket() as deaf:
        assert get(proxy, f"http://127.0.0.1:{deaf.getsockname()[1]}/")[0] == 502


def test_proxy_chains_to_the_proxy_of_the_machine(
    proxy: int, gateway: Gateway, hello_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The hello server stands for the machine's own proxy: it shows the request line it gets.
    monkeypatch.setenv("http_proxy", hello_url)
    assert get(proxy, "http://index.example/simple/") == (200, b"hello http://index.example/simple/")


def test_proxy_of_the_machine_is_no_way_round_the_refusal(
    proxy: int, hello_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", hello_url)
    assert get(proxy, "http://169.254.169.254/latest/")[0] == 403
