"""Files by key: nothing outside a library can be reached, and what was placed is there."""

import os
import random
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pergai.errors import InvalidRequest, NotFound
from pergai.paths import Home
from pergai.storage.files import FileStore, parse_key, parse_library

HOSTILE_KEYS = [
    "",
    "/",
    ".",
    "..",
    "../b/products/secret.png",
    "/etc/passwd",
    "products//sample.png",
    "products/",
    "/products/sample.png",
    "products/./sample.png",
    "products/../products/sample.png",
    "products/.hidden",
    ".hidden/sample.png",
    "products\\sample.png",
    "..\\b\\secret.png",
    "products/sample.png\x00.jpg",
    "products/sample.png\n",
    "\nproducts/sample.png",
    "products/sam ple.png",
    "products/%2e%2e/secret.png",
    "products/bücher.png",
    "products/\u202egnp.exe",
    "products/．．/secret.png",
    "products/sample.png?x=1",
    "products/~root",
    "file:///etc/passwd",
    "C:/windows/win.ini",
    "\ud800",
    "a/" * 8 + "b",
    "a" * 201,
    "a/" * 5000,
]


@pytest.mark.parametrize("text", HOSTILE_KEYS, ids=range(len(HOSTILE_KEYS)))
def test_a_malformed_key_is_refused_before_the_disk_is_touched(text: str, files: FileStore) -> None:
    for call in (parse_key, lambda key: files.open("a", key), lambda key: files.write("a", key, b"x")):
        with pytest.raises(InvalidRequest):
            call(text)


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", ".a", "a\x00", "ä", "a" * 65, "a\n"])
def test_a_malformed_library_is_refused(name: str, files: FileStore) -> None:
    for call in (
        parse_library,
        lambda library: files.open(library, "x.png"),
        lambda library: list(files.walk(library)),
    ):
        with pytest.raises(InvalidRequest):
            call(name)


@pytest.mark.parametrize("text", ["a", "products/sample.png", "a/b/c/d/e/f/g/h", "A-_.9/_b.", "x..y", "a" * 200])
def test_a_well_formed_key_comes_back_as_it_is(text: str) -> None:
    assert parse_key(text) == text


@settings(derandomize=True, max_examples=1000, deadline=None)
@given(st.lists(st.text(alphabet="ab.-_/\\% \n\x00é", max_size=6) | st.just(".."), max_size=10).map("/".join))
def test_an_accepted_key_stays_below_its_library(text: str) -> None:
    try:
        key = parse_key(text)
    except InvalidRequest:
        return
    inside = os.path.normpath(f"/files/library/{key}")
    assert inside == f"/files/library/{key}"
    assert inside.isascii() and inside.isprintable()


# --- reaching outside -------------------------------------------------------------------------------


def plant(home: Home, files: FileStore) -> None:
    """Library a with a picture and with links out of it, library b with a secret, and the server's own secret."""
    files.write("a", "products/own.png", b"own")
    files.write("b", "products/secret.png", b"secret")
    home.secrets.write_bytes(b"secret")
    a = home.files / "a"
    (a / "other").symlink_to(home.files / "b")
    (a / "up").symlink_to("..")
    (a / "products" / "up").symlink_to("../..")
    (a / "products" / "secret.png").symlink_to(home.secrets)
    (home.files / "c").symlink_to("b")
    os.mkfifo(a / "products" / "pipe.png")


def leaks(open_file: Callable[[str, str], BinaryIO], names: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Which names of library a or c gave a secret away."""
    found = []
    for library, key in names:
        try:
            with open_file(library, key) as file:
                if file.read() != b"own":
                    found.append((library, key))
        except (InvalidRequest, NotFound, OSError, ValueError):
            continue
    return found


def hostile_names(count: int) -> list[tuple[str, str]]:
    chance = random.Random(20261125)
    segments = [
        "..",
        ".",
        "",
        "a",
        "b",
        "c",
        "other",
        "up",
        "products",
        "own.png",
        "secret.png",
        "secrets.json",
        "files",
    ]
    segments += [
        "..\x00",
        "%2e%2e",
        "....",
        "..\\",
        "/",
        "～",
        "products/..",
        "a" * 300,
        "home",
        "proc",
        "self",
        "environ",
    ]
    names = [(chance.choice("aaac"), "/".join(chance.choices(segments, k=chance.randint(1, 7)))) for _ in range(count)]
    return [*names, ("a", "other/products/secret.png"), ("a", "products/secret.png"), ("c", "products/secret.png")]


def test_no_name_out_of_five_thousand_opens_another_librarys_file(home: Home, files: FileStore) -> None:
    plant(home, files)

    assert leaks(files.open, hostile_names(5000)) == []


def test_the_same_names_find_a_store_that_joins_paths_as_text(home: Home, files: FileStore) -> None:
    plant(home, files)

    def joined_as_text(library: str, key: str) -> BinaryIO:
        return (home.files / library / key).open("rb")

    def parsed_but_following_links(library: str, key: str) -> BinaryIO:
        return (home.files / parse_library(library) / parse_key(key)).open("rb")

    for planted_bug in (joined_as_text, parsed_but_following_links):
        assert leaks(planted_bug, hostile_names(5000)) != []


@pytest.mark.parametrize("key", ["other/products/secret.png", "products/secret.png", "up/b/products/secret.png"])
def test_a_symbolic_link_counts_as_nothing(key: str, home: Home, files: FileStore) -> None:
    plant(home, files)

    assert not files.exists("a", key)
    for call in (files.open, files.size, files.local_path):
        with pytest.raises(NotFound):
            call("a", key)


def test_nothing_is_written_through_a_planted_link(home: Home, files: FileStore) -> None:
    plant(home, files)

    with pytest.raises(NotFound):
        files.write("a", "other/products/secret.png", b"changed")
    files.write("a", "products/secret.png", b"mine now")

    assert files.open("b", "products/secret.png").read() == b"secret"
    assert home.secrets.read_bytes() == b"secret"
    assert files.open("a", "products/secret.png").read() == b"mine now"


def test_nothing_is_removed_through_a_planted_link(home: Home, files: FileStore) -> None:
    plant(home, files)

    files.remove("a", "other/products/secret.png")
    files.remove("a", "products/secret.png")

    assert files.exists("b", "products/secret.png")
    assert home.secrets.exists()


@pytest.mark.timeout(20)
def test_a_planted_pipe_does_not_block_a_reader(home: Home, files: FileStore) -> None:
    plant(home, files)

    with pytest.raises(NotFound):
        files.open("a", "products/pipe.png")


def test_a_walk_shows_neither_links_nor_what_lies_behind_them(home: Home, files: FileStore) -> None:
    plant(home, files)
    files.write("a", "generations/x/1.png", b"12345")
    (home.files / "stray").write_bytes(b"in no library")

    assert sorted(files.walk()) == [
        ("a", "generations/x/1.png", 5),
        ("a", "products/own.png", 3),
        ("b", "products/secret.png", 6),
    ]
    assert list(files.walk("b")) == [("b", "products/secret.png", 6)]
    assert list(files.walk("nobody")) == []


# --- everyday ---------------------------------------------------------------------------------------


def test_a_placed_file_can_be_read_and_its_temporary_file_is_gone(home: Home, files: FileStore) -> None:
    temp = files.temp_file(".png")
    temp.write_bytes(b"picture")

    files.place(temp, "studio", "uploads/1.png")

    assert files.open("studio", "uploads/1.png").read() == b"picture"
    assert files.size("studio", "uploads/1.png") == 7
    assert files.local_path("studio", "uploads/1.png").read_bytes() == b"picture"
    assert list(home.temp.iterdir()) == []


def test_placing_again_replaces_the_whole_file(files: FileStore) -> None:
    files.write("studio", "x.png", b"a long first version")
    files.write("studio", "x.png", b"second")

    assert files.open("studio", "x.png").read() == b"second"


def test_a_reader_keeps_the_version_it_opened(files: FileStore) -> None:
    files.write("studio", "x.png", b"first")
    with files.open("studio", "x.png") as reader:
        files.write("studio", "x.png", b"second")
        files.remove("studio", "x.png")
        assert reader.read() == b"first"


def test_removing_what_is_not_there_is_fine(files: FileStore) -> None:
    files.remove("studio", "never/was.png")
    files.write("studio", "x.png", b"x")
    files.remove("studio", "x.png")
    files.remove("studio", "x.png")

    assert not files.exists("studio", "x.png")


def test_a_folder_is_not_a_file(files: FileStore) -> None:
    files.write("studio", "uploads/1.png", b"x")

    assert not files.exists("studio", "uploads")
    with pytest.raises(NotFound):
        files.open("studio", "uploads")
    with pytest.raises(NotFound):
        files.open("studio", "uploads/1.png/2.png")


def test_a_failed_placement_leaves_the_old_file(files: FileStore) -> None:
    files.write("studio", "x.png", b"old")

    with pytest.raises(FileNotFoundError):
        files.place(files.temp_file(), "studio", "x.png")

    assert files.open("studio", "x.png").read() == b"old"


def test_only_the_owner_can_read_the_folders(home: Home, files: FileStore) -> None:
    files.write("studio", "uploads/1.png", b"x")

    for folder in (home.files, home.files / "studio", home.files / "studio" / "uploads"):
        assert folder.stat().st_mode & 0o077 == 0


def test_only_old_temporary_files_are_swept(home: Home, files: FileStore) -> None:
    old, young = files.temp_file(), files.temp_file()
    old.write_bytes(b"x")
    young.write_bytes(b"x")
    an_hour_ago = time.time() - 3600
    os.utime(old, (an_hour_ago, an_hour_ago))

    assert files.sweep_temp(older_than_s=1800) == 1

    assert list(home.temp.iterdir()) == [young]


def test_no_two_temporary_files_have_one_name(files: FileStore) -> None:
    assert len({files.temp_file(".png") for _ in range(1000)}) == 1000


def test_many_threads_place_into_new_folders_at_once(files: FileStore) -> None:
    failures: list[BaseException] = []

    def place_some(worker: int) -> None:
        try:
            for number in range(20):
                files.write("studio", f"new/{number}/deep/{worker}.png", b"x")
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=place_some, args=(worker,)) for worker in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []
    assert len(list(files.walk("studio"))) == 160


def test_no_file_descriptor_is_left_open(home: Home, files: FileStore) -> None:
    plant(home, files)
    before = len(list(Path("/proc/self/fd").iterdir()))

    for key in ("products/own.png", "products/secret.png", "other/x.png", "no/such/folder.png", "products/pipe.png"):
        files.exists("a", key)
        leaks(files.open, [("a", key)])
    files.write("a", "1/2/3/4.png", b"x")
    files.remove("a", "1/2/3/4.png")
    list(files.walk())

    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_sizes_add_up_by_kind(home: Home, files: FileStore) -> None:
    files.write("a", "x/1.png", b"12345")
    files.write("b", "1.png", b"123")
    (home.cache / "matte").write_bytes(b"1234")
    home.database.write_bytes(b"12")
    home.database.with_name("pergai.db-wal").write_bytes(b"1")

    sizes = files.sizes()

    assert sizes.pop("free") > 0
    assert sizes == {"images": 8, "database": 3, "weights": 0, "cache": 4, "temp": 0}


def test_a_missing_folder_for_unfinished_files_is_made_again(home: Home, files: FileStore) -> None:
    home.temp.rmdir()

    files.write("studio", "x.png", b"picture")

    assert files.open("studio", "x.png").read() == b"picture"
