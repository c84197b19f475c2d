"""API keys: made, listed, revoked, and recognised. Only the SHA-256 of a key is stored; the key itself is shown once.

A key is `pk_`, 40 random base62 characters (238 bits) and 6 of checksum, so that a mistyped one, or one found in a leaked text
by a scanner, is told apart without a look into the database.
"""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
import string
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import func, select

from pergai.db.database import Database
from pergai.db.tables import ApiKey, Library, now
from pergai.errors import FieldError, InvalidRequest, NotFound
from pergai.storage.files import parse_library

PREFIX = "pk_"
DEFAULT_LIBRARY = "default"
BASE62 = string.digits + string.ascii_uppercase + string.ascii_lowercase
RANDOM_CHARS = 40
CHECKSUM_CHARS = 6
_KEY = re.compile(rf"pk_[0-9A-Za-z]{{{RANDOM_CHARS + CHECKSUM_CHARS}}}")
_K: Any = ApiKey.__table__  # type: ignore[attr-defined]


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sent a request."""

    key_id: UUID
    library: str
    read_only: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRecord:
    """What is known of a key; never the key."""

    id: UUID
    library: str
    name: str
    hint: str
    """Its last four characters."""
    read_only: bool
    created_at: datetime
    revoked_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewKey:
    key: str
    """The whole key. Nobody can read it again."""
    record: KeyRecord


class Keys:
    """The keys of one server, whose process is the only one that writes them."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._recognised: dict[str, Caller] = {}  # by SHA-256; saves a query on every request
        self._revocations = 0

    async def create(self, name: str, library: str = DEFAULT_LIBRARY, *, read_only: bool = False) -> NewKey:
        """A new key, durable when this returns; its library is made when it is new.

        Raises InvalidRequest when a name is not allowed.
        """
        name = name.strip()
        if not 1 <= len(name) <= 100 or not name.isprintable():
            raise _wrong("name", "the name of a key must have 1 to 100 printable characters")
        try:
            parse_library(library)
        except InvalidRequest as error:
            raise _wrong("library", error.detail) from error
        key = generate()
        row = ApiKey(library=library, name=name, sha256=_sha256(key), hint=key[-4:], read_only=read_only)
        async with self._database.write() as session:
            if await session.get(Library, library) is None:
                session.add(Library(name=library, webhook_secret=_webhook_secret()))
            session.add(row)
        return NewKey(key=key, record=_record(row))

    async def create_first(self) -> NewKey | None:
        """A key for a server that has never had one; None when it has."""
        async with self._database.read() as connection:
            count = (await connection.execute(select(func.count()).select_from(_K))).scalar_one()
        return None if count else await self.create("first key")

    async def list(self) -> Sequence[KeyRecord]:
        """Every key there ever was, the newest first."""
        async with self._database.read() as connection:
            rows = (await connection.execute(select(_K).order_by(_K.c.id.desc()))).all()
        return [_record(row) for row in rows]

    async def revoke(self, id: UUID | None) -> KeyRecord:
        """From now on the key is refused. Revoking again changes nothing. Raises NotFound."""
        async with self._database.write() as session:
            row = await session.get(ApiKey, id) if id else None
            if row is None:
                raise NotFound("there is no key with this id; `pergai keys list` shows them")
            row.revoked_at = row.revoked_at or now()
        self._revocations += 1
        self._recognised.pop(row.sha256, None)
        return _record(row)

    async def authenticate(self, key: str) -> Caller | None:
        """Whose key this is; None when it is malformed, unknown or revoked. Keys are compared as hashes only."""
        if not is_well_formed(key):
            return None
        digest = _sha256(key)
        if known := self._recognised.get(digest):
            return known
        wanted = select(_K.c.id, _K.c.library, _K.c.read_only).where(_K.c.sha256 == digest, _K.c.revoked_at.is_(None))
        before = self._revocations
        async with self._database.read() as connection:
            row = (await connection.execute(wanted)).one_or_none()
        if row is None:
            return None
        caller = Caller(row.id, row.library, row.read_only)
        if before == self._revocations:  # else the key may have been revoked since the query saw it
            self._recognised[digest] = caller
        return caller


def generate() -> str:
    body = "".join(secrets.choice(BASE62) for _ in range(RANDOM_CHARS))
    return f"{PREFIX}{body}{_checksum(body)}"


def is_well_formed(key: str) -> bool:
    """Whether the checksum fits; says nothing about whether the key is known."""
    body = key[len(PREFIX) : -CHECKSUM_CHARS]
    return _KEY.fullmatch(key) is not None and key.endswith(_checksum(body))


def _checksum(body: str) -> str:
    """CRC-32 of the random characters in base62, most significant first, six characters."""
    crc = zlib.crc32(body.encode("ascii"))
    return "".join(BASE62[crc // 62**place % 62] for place in reversed(range(CHECKSUM_CHARS)))


def _sha256(key: str) -> str:
    return hashlib.sha256(key.encode("ascii")).hexdigest()


def _webhook_secret() -> str:
    """As the Standard Webhooks specification writes one: `whsec_` and base64 of 32 random bytes."""
    return f"whsec_{base64.b64encode(secrets.token_bytes(32)).decode()}"


def _record(row: Any) -> KeyRecord:
    return KeyRecord(
        id=row.id,
        library=row.library,
        name=row.name,
        hint=row.hint,
        read_only=row.read_only,
        created_at=row.created_at,
        revoked_at=row.revoked_at,
    )


def _wrong(field: str, detail: str) -> InvalidRequest:
    return InvalidRequest(detail, errors=[FieldError(f"/{field}", detail)])
