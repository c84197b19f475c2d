"""Files that are odd, damaged or meant to hurt, uploaded: each is taken or refused with a clear code, and the server lives on."""

from __future__ import annotations

import random
import sys
from pathlib import Path

import httpx
import pytest
from drills.broken_uploads import are_taken_or_refused_clearly
from server import Server
from shop import PRODUCT, check_problem, made

sys.path.append(str(Path(__file__).resolve().parent.parent / "imaging"))

from hostile import HOSTILE, HostileFile

from pergai.errors import error_codes

SPOILT = 150


@pytest.mark.parametrize("file", HOSTILE, ids=lambda file: file.name)
def test_a_hostile_upload_is_taken_or_refused_clearly(file: HostileFile, client: httpx.Client, server: Server) -> None:
    answer = client.post("/uploads", files={"file": (file.filename or "unnamed", file.data, "image/png")})

    if file.expected == "accepted":
        image = made(answer)
        assert set(image) == {"imagePath", "width", "height", "format", "bytes"}
        assert image["width"] > 0 and image["height"] > 0 and image["bytes"] == len(file.data)
        product = made(client.post("/products", json=PRODUCT | {"imagePath": image["imagePath"]}))
        assert httpx.get(product["imagePath"]).content == file.data
    else:
        problem = check_problem(answer, error_codes()[file.expected].status, file.expected)
        assert len(problem["detail"]) < 500
    assert httpx.get(server.url + "/readyz").status_code == 200


@pytest.mark.slow
def test_photos_with_spoilt_bytes_are_taken_or_refused_clearly(client: httpx.Client) -> None:
    refused = are_taken_or_refused_clearly(client, SPOILT, random.Random(20261125))
    assert 0.2 * SPOILT < refused < SPOILT


def test_there_are_at_least_forty_of_them() -> None:
    assert len({file.name for file in HOSTILE}) >= 40


FILENAMES = [
    "../../etc/passwd",
    "/etc/passwd",
    "x.png\x00.exe",
    "a" * 5000,
    "",
    "..",
    "💥.png",
    'x".png',
    "x\r\nSet-Cookie: a=b.png",
]


@pytest.mark.parametrize("name", FILENAMES, ids=range(len(FILENAMES)))
def test_a_clients_file_name_decides_nothing(name: str, client: httpx.Client) -> None:
    good = next(file.data for file in HOSTILE if file.expected == "accepted")
    boundary = "b0undary"
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\nContent-Type: image/png\r\n\r\n'
    body = head.encode() + good + f"\r\n--{boundary}--\r\n".encode()
    answer = client.post(
        "/uploads", content=body, headers={"Content-Type": f"multipart/form-data; boundary={boundary}"}
    )

    if answer.status_code == 201:
        path = answer.json()["imagePath"]
        assert path.startswith("uploads/") and set(path) <= set("abcdefghijklmnopqrstuvwxyz0123456789-./")
        assert "set-cookie" not in answer.headers
    else:
        assert answer.status_code in (400, 422)
        check_problem(answer)


def test_a_part_in_a_charset_that_there_is_not_is_a_clear_error(client: httpx.Client) -> None:
    head = b'--b\r\nContent-Disposition: form-data; name="file"\r\nContent-Type: text/plain; charset=klingon\r\n\r\n'
    body = head + b"x\r\n--b--\r\n"

    answer = client.post("/uploads", content=body, headers={"Content-Type": "multipart/form-data; boundary=b"})

    check_problem(answer, 400, "malformed_request")


def test_what_was_refused_leaves_nothing_behind(client: httpx.Client, server: Server) -> None:
    bad = next(file for file in HOSTILE if file.expected == "unreadable_image")
    before = {path for folder in ("files", "tmp") for path in (server.home / folder).rglob("*")}

    for _ in range(5):
        client.post("/uploads", files={"file": (bad.filename, bad.data, "image/png")})

    assert {path for folder in ("files", "tmp") for path in (server.home / folder).rglob("*")} == before


def test_an_upload_that_breaks_off_leaves_nothing_behind(server: Server, key: str) -> None:
    import socket

    before = set((server.home / "tmp").iterdir())
    head = (
        f"POST /api/external/v1/uploads HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n"
        "Content-Type: multipart/form-data; boundary=b\r\nContent-Length: 1000000\r\n\r\n"
        '--b\r\nContent-Disposition: form-data; name="file"; filename="x.png"\r\n\r\n'
    )
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(head.encode() + b"x" * 100_000)

    server.wait_until(lambda: httpx.get(server.url + "/healthz").status_code == 200, 10, "not alive")
    assert set((server.home / "tmp").iterdir()) == before
    assert "request failed unexpectedly" not in server.log_end(5)
