"""Weights from a hub: a small one on this machine that answers as Hugging Face does, asked by the genuine client."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

REVISION = "8a4288a76071f7280aedbdb3253bdb9e9d5d84bb"
BIG = bytes(range(256)) * 20_000
FILES = {
    "model_index.json": b"{}",
    "unet/config.json": b'{"in_channels": 9}',
    "unet/model.fp16.safetensors": BIG,
    "unet/model.safetensors": b"not wanted",
    "README.md": b"nor this",
}
WANTED = ["model_index.json", "unet/config.json", "unet/model.fp16.safetensors"]


@dataclass
class Hub:
    """`served`: what is sent in place of a file; `stop_at`: a large answer halts there until it may go on; `token`: what has to
    be shown for a file; `size`: the large file's, as it is listed."""

    url: str = ""
    served: dict[str, bytes] = field(default_factory=dict)
    stop_at: int = 0
    go_on: threading.Event = field(default_factory=threading.Event)
    token: str = ""
    size: int = len(BIG)
    ranges: list[str] = field(default_factory=list)
    sent: list[str] = field(default_factory=list)


@pytest.fixture
def hub() -> Iterator[Hub]:
    state = Hub()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = unquote(urlsplit(self.path).path)
            if path == f"/api/models/studio/tiny/tree/{REVISION}":
                listed = [entry(name, state.size) for name in FILES]
                self.send(json.dumps(listed).encode(), {"Content-Type": "application/json"})
                return
            name = path.removeprefix(f"/studio/tiny/resolve/{REVISION}/")
            if name not in FILES or (state.token and self.headers.get("Authorization") != f"Bearer {state.token}"):
                self.send_error(401 if name in FILES else 404)
                return
            state.sent.append(name)
            asked = self.headers.get("Range", "")
            if name.endswith("fp16.safetensors"):
                state.ranges.append(asked)
            content = state.served.get(name, FILES[name])
            self.send(
                content[int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0 :], {}, 206 if asked else 200
            )

        def send(self, content: bytes, headers: dict[str, str], status: int = 200) -> None:
            self.send_response(status)
            for key, value in {**headers, "Content-Length": str(len(content))}.items():
                self.send_header(key, value)
            self.end_headers()
            if state.stop_at and len(content) > state.stop_at:
                self.wfile.write(content[: state.stop_at])
                content, state.stop_at = content[state.stop_at :], 0
                state.go_on.wait(60)
            with suppress(ConnectionError):
                self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:
            """Quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        state.url = f"http://127.0.0.1:{server.server_port}"
        yield state
        server.shutdown()
        thread.join()


def entry(name: str, size: int) -> dict[str, object]:
    content = FILES[name]
    known: dict[str, object] = {"type": "file", "path": name, "size": len(content), "oid": "0" * 40}
    if content is BIG:
        known |= {"size": size, "lfs": {"oid": hashlib.sha256(BIG).hexdigest(), "size": size, "pointerSize": 134}}
    return known


PULL = """
import json, sys
from pathlib import Path
from pergai.cards.structs import HubSource, ModelCard
from pergai.cards.weights import pull, status, verify
from pergai.errors import WeightsError
card = ModelCard(id="tiny", title="Tiny", family="diffusers", licence="MIT", memory_mib=1, source=HubSource(
    repository="studio/tiny", revision=sys.argv[2], patterns=tuple(json.loads(sys.argv[3]))))
seen = []
try:
    folder = pull(card, Path(sys.argv[1]), progress=lambda *step: seen.append(step))
    print(json.dumps({"seen": seen, "status": status(card, folder), "problems": verify(card, folder)}))
except WeightsError as error:
    print(json.dumps({"error": error.detail}))
"""


def pull(
    hub: Hub,
    weights: Path,
    revision: str = REVISION,
    patterns: tuple[str, ...] = ("model_index.json", "*/*.json", "*/*.fp16.safetensors"),
    seconds: int = 120,
    **more: str,
) -> dict[str, object]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HF_")} | {
        "HF_ENDPOINT": hub.url,
        "HF_HOME": str(weights / "hf"),
        **more,
    }
    command = [sys.executable, "-c", PULL, str(weights), revision, json.dumps(patterns)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=seconds)
    assert done.returncode == 0, done.stderr
    told: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return told


def left(weights: Path) -> list[str]:
    return sorted(str(path.relative_to(weights / "tiny")) for path in (weights / "tiny").rglob("*") if path.is_file())


def test_what_the_patterns_name_comes_with_a_bar_and_is_remembered(hub: Hub, tmp_path: Path) -> None:
    told = pull(hub, tmp_path)
    assert (told["status"], told["problems"]) == ("present", [])
    assert left(tmp_path) == [".verified.json", *WANTED]
    assert (tmp_path / "tiny" / WANTED[-1]).read_bytes() == BIG
    seen = [tuple(step[1:]) for step in told["seen"] if step[0] == WANTED[-1]]  # type: ignore[attr-defined]
    assert {total for _, total in seen} == {len(BIG)}
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert seen[0][0] == 0
    assert seen[-1][0] == len(BIG)


def test_what_the_hub_itself_says_of_a_file_is_checked(hub: Hub, tmp_path: Path) -> None:
    hub.served[WANTED[-1]] = BIG[:-1] + b"!"
    told = pull(hub, tmp_path)
    assert all(word in str(told["error"]) for word in (WANTED[-1], "sha256", hashlib.sha256(BIG).hexdigest()))
    assert not (tmp_path / "tiny").exists()
    hub.served.clear()
    assert pull(hub, tmp_path)["status"] == "present"


def test_a_pull_that_was_killed_goes_on_where_it_stopped(hub: Hub, tmp_path: Path) -> None:
    hub.stop_at = 3_000_000
    with pytest.raises(subprocess.TimeoutExpired):  # the last kilobytes do not come
        pull(hub, tmp_path, seconds=8)
    assert not (tmp_path / "tiny").exists()
    hub.go_on.set()
    assert pull(hub, tmp_path)["status"] == "present"
    assert (tmp_path / "tiny" / WANTED[-1]).read_bytes() == BIG
    assert hub.ranges[0] == ""
    assert 0 < int(hub.ranges[-1].removeprefix("bytes=").rstrip("-")) <= 3_000_000
    assert hub.sent.count("model_index.json") == 1


def test_a_token_is_shown_to_the_hub(hub: Hub, tmp_path: Path) -> None:
    hub.token = "hf_secret"
    assert "set HF_TOKEN" in str(pull(hub, tmp_path)["error"])
    assert pull(hub, tmp_path, HF_TOKEN="hf_secret")["status"] == "present"


def test_more_than_the_disk_holds_is_refused_before_the_download(hub: Hub, tmp_path: Path) -> None:
    hub.size = 1 << 60
    assert "MiB free" in str(pull(hub, tmp_path)["error"])
    assert hub.sent == []


def test_a_repository_that_does_not_answer_is_named(hub: Hub, tmp_path: Path) -> None:
    gone = pull(hub, tmp_path, revision="1" * 40)
    assert "studio/tiny@1111" in str(gone["error"])
    assert "could not be downloaded" in str(gone["error"])
    none = pull(hub, tmp_path, patterns=("*.bin",))
    assert "has no file like *.bin" in str(none["error"])


@pytest.mark.slow  # the hub's client does not give up at once
def test_a_hub_that_cannot_be_reached_is_said(hub: Hub, tmp_path: Path) -> None:
    hub.url = "http://127.0.0.1:9"
    assert "could not be downloaded" in str(pull(hub, tmp_path)["error"])
