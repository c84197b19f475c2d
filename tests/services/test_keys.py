"""API keys: what they look like, what is stored of them, and who they let in."""

from __future__ import annotations

import asyncio
import base64
import sqlite3
import string
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pergai.db import migrations
from pergai.db.database import Database
from pergai.errors import InvalidRequest, NotFound
from pergai.services import keys as module
from pergai.services.keys import Keys


@pytest.fixture(scope="module")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("keys") / "pergai.db"
    migrations.upgrade(path)
    return path.read_bytes()


@pytest.fixture
def path(tmp_path: Path, empty_database: bytes) -> Path:
    (tmp_path / "pergai.db").write_bytes(empty_database)
    return tmp_path / "pergai.db"


@asynccontextmanager
async def opened(path: Path) -> AsyncIterator[Keys]:
    database = Database(path)
    try:
        yield Keys(database)
    finally:
        await database.close()


def run(path: Path, scenario: Callable[[Keys], Awaitable[None]]) -> None:
    async def main() -> None:
        async with opened(path) as keys:
            await scenario(keys)

    asyncio.run(main())


def test_a_key_is_pk_and_base62_with_a_checksum(path: Path) -> None:
    async def scenario(keys: Keys) -> None:
        key = (await keys.create("shop")).key
        assert key.startswith("pk_")
        assert len(key) == 3 + 40 + 6
        assert set(key[3:]) <= set(string.ascii_letters + string.digits)
        assert module.is_well_formed(key)

    run(path, scenario)


@given(st.integers(3, 48), st.sampled_from(string.ascii_letters + string.digits))
def test_no_single_wrong_character_passes_the_checksum(place: int, character: str) -> None:
    key = module.generate()
    if key[place] != character:
        assert not module.is_well_formed(key[:place] + character + key[place + 1 :])


@pytest.mark.parametrize(
    "key", ["", "pk_", "pk_YOUR_API_KEY", "x" * 49, "pk_" + "0" * 46, "pk_" + "é" * 46, "pk_" + "0" * 5000, "\x00"]
)
def test_what_is_no_key_lets_nobody_in(key: str, path: Path) -> None:
    async def scenario(keys: Keys) -> None:
        assert await keys.authenticate(key) is None

    run(path, scenario)


def test_a_well_formed_key_that_was_never_made_lets_nobody_in(path: Path) -> None:
    async def scenario(keys: Keys) -> None:
        assert await keys.authenticate(module.generate()) is None

    run(path, scenario)


def test_a_key_lets_in_with_its_library_and_its_right(path: Path) -> None:
    async def scenario(keys: Keys) -> None:
        reader = await keys.create("shop", "studio", read_only=True)
        writer = await keys.create("shop")
        for _ in range(2):  # from the database, then from memory
            caller = await keys.authenticate(reader.key)
            assert caller is not None
            assert (caller.key_id, caller.library, caller.read_only) == (reader.record.id, "studio", True)
        caller = await keys.authenticate(writer.key)
        assert caller is not None
        assert (caller.library, caller.read_only) == ("default", False)

    run(path, scenario)


def test_a_key_outlives_the_process(path: Path) -> None:
    made: list[str] = []

    async def first(keys: Keys) -> None:
        made.append((await keys.create("shop")).key)

    async def second(keys: Keys) -> None:
        assert await keys.authenticate(made[0]) is not None

    run(path, first)
    run(path, second)


def test_the_key_itself_is_nowhere_in_the_data_folder(path: Path) -> None:
    made: list[str] = []

    async def scenario(keys: Keys) -> None:
        made.append((await keys.create("shop")).key)

    run(path, scenario)
    for file in path.parent.rglob("*"):
        assert made[0].encode() not in file.read_bytes(), file
        assert made[0][3:43].encode() not in file.read_bytes(), file


def test_a_revoked_key_is_refused_at_once_and_after_a_restart(path: Path) -> None:
    made: list[str] = []

    async def scenario(keys: Keys) -> None:
        new = await keys.create("shop")
        made.append(new.key)
        assert await keys.authenticate(new.key) is not None
        revoked = await keys.revoke(new.record.id)
        assert revoked.revoked_at is not None
        assert await keys.authenticate(new.key) is None
        assert (await keys.revoke(new.record.id)).revoked_at == revoked.revoked_at

    async def later(keys: Keys) -> None:
        assert await keys.authenticate(made[0]) is None

    run(path, scenario)
    run(path, later)


def test_a_key_revoked_while_it_is_being_checked_is_not_remembered(path: Path) -> None:
    async def scenario(keys: Keys) -> None:
        for _ in range(20):
            new = await keys.create("shop")
            await asyncio.gather(keys.authenticate(new.key), keys.revoke(new.record.id), keys.authenticate(new.key))
            assert await keys.authenticate(new.key) is None

    run(path, scenario)


def test_revoking_an_unknown_key_says_so(path: Path) -> None:
    async def scenario(keys: Keys) -> None:
        for unknown in (uuid4(), None):
            with pytest.raises(NotFound):
                await keys.revoke(unknown)

    run(path, scenario)


def test_the_list_has_all_keys_newest_first_and_only_their_hints(path: Path) -> None:
    async def scenario(keys: Keys) -> None:
        first, second = await keys.create("first"), await keys.create("second", "studio")
        assert list(await keys.list()) == [second.record, first.record]
        assert second.record.hint == second.key[-4:]
        assert second.key not in repr(await keys.list())

    run(path, scenario)


def test_a_library_is_made_once_with_a_webhook_secret_that_stays(path: Path) -> None:
    def secrets() -> list[tuple[str, str]]:
        with sqlite3.connect(path) as connection:
            return connection.execute("SELECT name, webhook_secret FROM library ORDER BY name").fetchall()

    async def one(keys: Keys) -> None:
        await keys.create("shop", "studio")

    run(path, one)
    ((name, secret),) = secrets()
    run(path, one)
    assert secrets() == [(name, secret)]
    assert name == "studio"
    assert secret.startswith("whsec_")
    assert len(base64.b64decode(secret.removeprefix("whsec_"), validate=True)) == 32


@pytest.mark.parametrize("library", ["", "../etc", "a/b", ".hidden", "a" * 65, "a\n", "ü", "two words"])
def test_a_library_name_that_is_no_safe_folder_name_is_refused(library: str, path: Path) -> None:
    async def scenario(keys: Keys) -> None:
        with pytest.raises(InvalidRequest) as caught:
            await keys.create("shop", library)
        assert caught.value.errors[0].pointer == "/library"
        assert not await keys.list()

    run(path, scenario)


@pytest.mark.parametrize("name", ["", "   ", "a" * 101, "two\nlines", "\x1b[31mred"])
def test_a_key_name_that_would_spoil_a_terminal_is_refused(name: str, path: Path) -> None:
    async def scenario(keys: Keys) -> None:
        with pytest.raises(InvalidRequest) as caught:
            await keys.create(name)
        assert caught.value.errors[0].pointer == "/name"

    run(path, scenario)


def test_the_first_key_is_made_once(path: Path) -> None:
    async def scenario(keys: Keys) -> None:
        first = await keys.create_first()
        assert first is not None
        assert await keys.authenticate(first.key) is not None
        assert await keys.create_first() is None
        await keys.revoke(first.record.id)
        assert await keys.create_first() is None  # a studio that revoked all its keys meant it

    run(path, scenario)
