"""The command line reaches the database through the running server, or by itself when none runs; never both."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from pergai.db import migrations
from pergai.db.database import Database
from pergai.errors import HomeLocked, InvalidRequest, NotFound
from pergai.paths import Home
from pergai.services import admin
from pergai.services.keys import KeyRecord, Keys, NewKey
from pergai.services.orphans import Orphans
from pergai.storage.files import FileStore
from pergai.storage.lock import lock_home


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = Home(tmp_path / "home")
    made.create()
    return made


@asynccontextmanager
async def server(home: Home) -> AsyncIterator[Keys]:
    """What of a server matters here: the lock, the one database, the door."""
    with lock_home(home):
        migrations.upgrade(home.database)
        database = Database(home.database)
        keys = Keys(database)
        try:
            async with admin.admin_door(home, admin.duties(database, keys, FileStore(home))):
                yield keys
        finally:
            await database.close()


def raw(home: Home, line: bytes) -> dict[str, Any]:
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(home.admin_socket))
        client.sendall(line)
        client.shutdown(socket.SHUT_WR)
        answer = client.makefile().readline()
    found: dict[str, Any] = json.loads(answer)
    return found


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(scenario())  # type: ignore[arg-type]


def test_a_key_made_through_the_door_is_known_to_the_server_at_once(home: Home) -> None:
    async def scenario() -> None:
        async with server(home) as keys:
            new = await admin.administer(home, "keys.create", NewKey, name="shop", library="studio")
            caller = await keys.authenticate(new.key)
            assert caller is not None
            assert caller.library == "studio"
            await admin.administer(home, "keys.revoke", KeyRecord, id=str(new.record.id))
            assert await keys.authenticate(new.key) is None

    run(scenario)


def test_without_a_server_the_same_work_is_done_under_the_lock(home: Home) -> None:
    async def scenario() -> None:
        new = await admin.administer(home, "keys.create", NewKey, name="shop")
        (record,) = await admin.administer(home, "keys.list", list[KeyRecord])
        assert record == new.record
        async with server(home) as keys:  # the lock is free again, the key is there
            assert await keys.authenticate(new.key) is not None
            assert await admin.administer(home, "keys.list", list[KeyRecord]) == [record]

    run(scenario)


def test_a_server_that_holds_the_folder_but_has_no_door_is_never_gone_around(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admin, "STARTING_SECONDS", 0.5)

    async def scenario() -> None:
        with lock_home(home), pytest.raises(HomeLocked):
            await admin.administer(home, "keys.create", NewKey, name="shop")

    run(scenario)
    assert not home.database.exists()


def test_a_server_that_is_still_starting_is_waited_for(home: Home) -> None:
    async def scenario() -> None:
        with lock_home(home):
            asked = asyncio.create_task(admin.administer(home, "keys.create", NewKey, name="shop"))
            await asyncio.sleep(0.5)
            assert not asked.done()
            migrations.upgrade(home.database)
            database = Database(home.database)
            async with admin.admin_door(home, admin.duties(database, Keys(database), FileStore(home))):
                assert (await asked).record.name == "shop"
            await database.close()

    run(scenario)


def test_a_socket_left_by_a_killed_server_is_in_nobodys_way(home: Home) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(home.admin_socket))

    async def scenario() -> None:
        await admin.administer(home, "keys.create", NewKey, name="first")
        async with server(home):
            await admin.administer(home, "keys.create", NewKey, name="second")
            assert len(await admin.administer(home, "keys.list", list[KeyRecord])) == 2
        assert not home.admin_socket.exists()

    run(scenario)


def test_errors_cross_the_door_as_what_they_are(home: Home) -> None:
    async def scenario() -> None:
        async with server(home):
            with pytest.raises(NotFound, match="no key with this id"):
                await admin.administer(home, "keys.revoke", KeyRecord, id="7")
            with pytest.raises(InvalidRequest, match="name of a key"):
                await admin.administer(home, "keys.create", NewKey, name="")
            with pytest.raises(NotFound, match=r"keys\.create"):
                await admin.administer(home, "keys.steal", NewKey)

    run(scenario)


@pytest.mark.parametrize(
    "line", [b"\n", b"{}\n", b"[1]\n", b"\xff\xfe\n", b'{"method": 1}\n', b'{"method": "keys.create"}\n']
)
def test_a_line_that_is_no_request_gets_an_error_and_the_door_stays_open(line: bytes, home: Home) -> None:
    async def scenario() -> None:
        async with server(home):
            assert (await asyncio.to_thread(raw, home, line))["error"]["code"] in ("invalid_request", "internal_error")
            assert await admin.administer(home, "keys.list", list[KeyRecord]) == []

    run(scenario)


def test_the_door_is_for_the_folders_owner_only(home: Home) -> None:
    async def scenario() -> None:
        async with server(home):
            assert home.admin_socket.stat().st_mode & 0o077 == 0
            assert home.root.stat().st_mode & 0o077 == 0

    run(scenario)


def test_a_folder_too_deep_for_a_socket_address_works_as_well(tmp_path: Path) -> None:
    deep = Home(tmp_path / ("d" * 120))
    deep.create()

    async def scenario() -> None:
        async with server(deep) as keys:
            new = await admin.administer(deep, "keys.create", NewKey, name="shop")
            assert await keys.authenticate(new.key) is not None
        assert not deep.admin_socket.exists()

    run(scenario)


def test_orphans_can_be_asked_for_through_the_door(home: Home) -> None:
    async def scenario() -> None:
        async with server(home):
            assert await admin.administer(home, "storage.orphans", Orphans) == Orphans(
                files=[], uploads=[], results=[], products=[]
            )

    run(scenario)
