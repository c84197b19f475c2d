"""Below HTTP's manners: what is no request, clients that send slowly, and clients that never read."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator

import httpx
import psutil
import pytest
from server import API, Server
from shop import PRODUCT, made

NO_REQUESTS = {
    "no host": b"GET /healthz HTTP/1.1\r\n\r\n",
    "two lengths": b"POST /api/external/v1/products HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 5\r\n\r\nabcde",
    "a length below nothing": b"POST /api/external/v1/products HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
    "a chunk without a size": b"POST /healthz HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    "HTTP/0.9": b"GET /healthz\r\n\r\n",
    "bytes in the path": b"GET /api/external/v1/products/\xc3\xbc\x00 HTTP/1.1\r\nHost: x\r\n\r\n",
    "a folded header": b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-A: b\r\n c\r\n: d\r\n\r\n",
    "noise": os.urandom(500) + b"\r\n\r\n",
    "a header without an end": b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-A: " + b"a" * 5_000_000,
    "a TLS greeting": bytes.fromhex("16030100c8010000c40303") + b"\0" * 200 + b"\r\n\r\n",
}


@pytest.fixture(scope="module")
def strict() -> Iterator[Server]:
    """A server that waits one second for a request."""
    with Server(server__header_seconds=1, server__body_seconds=1, tools__wait_seconds=0) as server:
        yield server


def connect(server: Server) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", server.port))
    connection.settimeout(20)
    return connection


def answer_of(connection: socket.socket) -> bytes:
    """What comes until the server closes; empty when it closes without a word."""
    told = b""
    try:
        while part := connection.recv(4096):
            told += part
    except ConnectionError:
        return told
    return told


@pytest.mark.parametrize("raw", NO_REQUESTS.values(), ids=NO_REQUESTS)
def test_what_is_no_request_is_refused_and_the_connection_closed(raw: bytes, strict: Server) -> None:
    with connect(strict) as connection:
        try:
            connection.sendall(raw)
        except ConnectionError:  # it has heard enough
            return
        told = answer_of(connection)

    assert told == b"" or told.split(b" ", 2)[1] in (b"400", b"401", b"405"), told
    assert httpx.get(strict.url + "/healthz").status_code == 200


@pytest.mark.parametrize(
    "beginning",
    [
        b"",
        b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-",
        b"POST /api/external/v1/products HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{",
    ],
    ids=["nothing", "a part of the headers", "a part of the body"],
)
def test_hundreds_who_send_slowly_keep_nobody_out_and_are_closed(beginning: bytes, strict: Server) -> None:
    process = psutil.Process(strict.pid)
    before = process.num_fds()
    slow = [connect(strict) for _ in range(200)]
    for connection in slow:
        connection.sendall(beginning)

    assert httpx.get(strict.url + "/healthz").status_code == 200
    strict.wait_until(lambda: process.num_fds() < before + 20, 20, "slow connections are still open")
    for connection in slow:
        connection.close()


def test_watchers_who_never_read_slow_nobody_down_and_go_when_they_are_gone(strict: Server) -> None:
    key = strict.create_key()
    process = psutil.Process(strict.pid)
    with strict.client(key) as client:
        product = made(client.post("/products", json=PRODUCT))["id"]
        job = made(client.post("/tools/upscale", json={"productId": product, "scale": "2x"}), 202)["id"]
        before = process.num_fds()
        request = (
            f"GET {API}/generations/{job}/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n\r\n".encode()
        )
        watchers = [connect(strict) for _ in range(200)]
        for watcher in watchers:
            watcher.sendall(request)
        time.sleep(0.5)
        for _ in range(20):
            assert client.get(f"/generations/{job}").status_code == 200
        for watcher in watchers:
            watcher.close()
        client.post(f"/generations/{job}/cancel")
        strict.wait_until(lambda: process.num_fds() < before + 20, 30, "watchers who have gone are still held")
