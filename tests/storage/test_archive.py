"""The streamed ZIP: any reader opens it, its length is known before, and memory does not grow with it."""

import io
import json
import os
import tracemalloc
import zipfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pergai.paths import Home
from pergai.storage.archive import CHUNK_BYTES, MANIFEST, Archive, Entry
from pergai.storage.files import FileStore


@pytest.fixture(scope="module")
def shared_files(tmp_path_factory: pytest.TempPathFactory) -> FileStore:
    home = Home(tmp_path_factory.mktemp("home"))
    home.create()
    files = FileStore(home)
    files.write("studio", "x.PNG", b"x")
    return files


def read(archive: Archive) -> zipfile.ZipFile:
    data = b"".join(archive)
    assert len(data) == archive.size
    return zipfile.ZipFile(io.BytesIO(data))


def test_every_file_comes_out_as_it_went_in(files: FileStore) -> None:
    contents = {
        f"generations/{number}.png": os.urandom(size) for number, size in enumerate((0, 1, CHUNK_BYTES, 700_001))
    }
    for key, data in contents.items():
        files.write("studio", key, data)

    opened = read(
        Archive(files, [Entry("studio", key, "Classic T-Shirt", {"id": key}) for key in contents], {"name": "Summer"})
    )

    assert opened.testzip() is None
    assert opened.namelist()[0] == MANIFEST
    manifest = json.loads(opened.read(MANIFEST))
    assert manifest["name"] == "Summer" and manifest["missing"] == []
    assert {item["id"]: opened.read(item["file"]) for item in manifest["items"]} == contents
    assert opened.namelist()[1] == "0001-classic-t-shirt.png"


def test_an_empty_archive_still_opens(files: FileStore) -> None:
    assert read(Archive(files, [])).namelist() == [MANIFEST]


def test_a_missing_file_is_told_and_breaks_nothing(files: FileStore) -> None:
    files.write("studio", "here.png", b"here")
    entries = [Entry("studio", "gone.png", about={"id": 1}), Entry("studio", "here.png", about={"id": 2})]

    opened = read(Archive(files, entries))

    manifest = json.loads(opened.read(MANIFEST))
    assert manifest["missing"] == [{"id": 1}]
    assert [item["id"] for item in manifest["items"]] == [2]
    assert opened.read("0002.png") == b"here"


def test_a_link_to_another_library_is_missing(home: Home, files: FileStore) -> None:
    files.write("other", "secret.png", b"secret")
    files.write("studio", "own.png", b"own")
    (home.files / "studio" / "link.png").symlink_to(home.files / "other" / "secret.png")

    opened = read(Archive(files, [Entry("studio", "link.png"), Entry("studio", "own.png")]))

    assert not any(b"secret" in opened.read(name) for name in opened.namelist()[1:])
    assert len(json.loads(opened.read(MANIFEST))["missing"]) == 1


@pytest.mark.parametrize("change", [b"", b"longer than before"])
def test_a_file_that_changes_meanwhile_breaks_the_stream_rather_than_lying(files: FileStore, change: bytes) -> None:
    files.write("studio", "x.png", b"before")
    archive = Archive(files, [Entry("studio", "x.png")])
    files.write("studio", "x.png", change)

    with pytest.raises(RuntimeError):
        b"".join(archive)


@settings(derandomize=True, max_examples=300, deadline=None)
@given(
    titles=st.lists(
        st.text(max_size=80) | st.sampled_from(["../..", "/etc/passwd", "CON", "a\\b", "x" * 80, "\ud800"]), max_size=6
    )
)
def test_names_are_safe_and_unique_whatever_the_titles(shared_files: FileStore, titles: list[str]) -> None:
    names = read(Archive(shared_files, [Entry("studio", "x.PNG", title) for title in titles])).namelist()

    assert len(set(names)) == len(titles) + 1
    for name in names[1:]:
        assert name.isascii() and len(name) < 80
        assert set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-.")
        assert name.endswith(".png") and name.count(".") == 1 and name[:4].isdigit()


@pytest.mark.slow
@pytest.mark.parametrize("count", [65_533, 65_534, 65_535])
def test_the_length_is_right_where_a_zip_needs_wide_counters(files: FileStore, count: int) -> None:
    """With its manifest the archive has 65,534 to 65,536 members; 65,535 is what the narrow counter cannot hold."""
    files.write("studio", "x.png", b"")

    archive = Archive(files, [Entry("studio", "x.png")] * count)

    assert sum(map(len, archive)) == archive.size


def test_memory_does_not_grow_with_the_pictures(home: Home, files: FileStore) -> None:
    for number in range(4):
        files.write("studio", f"{number}.png", b"")
        os.truncate(home.files / "studio" / f"{number}.png", 64 * 1024 * 1024)  # sparse
    archive = Archive(files, [Entry("studio", f"{number}.png") for number in range(4)])

    tracemalloc.start()
    streamed = sum(map(len, archive))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert streamed == archive.size > 256 * 1024 * 1024
    assert peak < 4 * 1024 * 1024
