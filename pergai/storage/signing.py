"""Signed URLs: whoever holds one may read one file until it expires, without an API key.

`/files/{library}/{key}?expires=…&kid=…&signature=…`, signed by HMAC-SHA256 (RFC 2104) over method, path, expiry, key id and
variant. Each field is framed by its length, so that no byte can move from one into the next.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import math
import os
import secrets
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlencode

import msgspec

from pergai.errors import InvalidRequest, InvalidSignature, SettingsError
from pergai.paths import Home
from pergai.storage.files import parse_key, parse_library

PREFIX = "/files/"

_PARAMETERS = frozenset({"expires", "kid", "signature", "variant"})
_NOT_VALID = "the address is not one that this server has signed"


class Secret(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """A key that signs, as it lies in the secrets file."""

    secret: str
    """32 random bytes in hexadecimal digits."""
    created_at: float
    """Unix seconds."""


class Signer:
    """Signs with the newest secret, verifies with all. The secrets lie in `home.secrets`, readable by their owner only, and are
    read once: another process's `rotate` is seen after a restart.

    `lifetime_s` and `clock` are what `sign` and `verify` take when they are given none. Raises SettingsError when the secrets
    cannot be read.
    """

    def __init__(self, home: Home, lifetime_s: float = 3600, *, clock: Callable[[], float] = time.time) -> None:
        self._path = home.secrets
        self._lifetime_s = lifetime_s
        self._clock = clock
        self._secrets = self._load_or_make()

    def sign(
        self, library: str, key: str, *, now: float | None = None, lifetime_s: float | None = None, variant: str = ""
    ) -> str:
        """The path and query that read this file. Valid for one to two lifetimes: the expiry is rounded up to a multiple of
        the lifetime, so that the same URL comes out for a while and a browser can cache.

        Raises InvalidRequest when the library or the key is malformed.
        """
        lifetime_s = self._lifetime_s if lifetime_s is None else lifetime_s
        now = self._clock() if now is None else now
        expires = str(math.ceil(math.ceil((now + lifetime_s) / lifetime_s) * lifetime_s))
        path = f"{PREFIX}{parse_library(library)}/{parse_key(key)}"
        kid = self.current
        query = {"expires": expires, "kid": kid, "signature": self._signature(kid, "GET", path, expires, variant)}
        if variant:
            query["variant"] = variant
        return f"{path}?{urlencode(query)}"

    def verify(self, method: str, path: str, query: Mapping[str, str], now: float | None = None) -> tuple[str, str]:
        """The library and the key that a request may read. HEAD is as good as GET.

        Raises InvalidSignature, which says only whether a signature that was right has expired.
        """
        kid, expires = query.get("kid", ""), query.get("expires", "")
        if kid not in self._secrets or not _PARAMETERS.issuperset(query):
            raise InvalidSignature(_NOT_VALID)
        signed_method = "GET" if method == "HEAD" else method
        expected = self._signature(kid, signed_method, path, expires, query.get("variant", ""))
        if not hmac.compare_digest(_encode(expected), _encode(query.get("signature", ""))):
            raise InvalidSignature(_NOT_VALID)
        if (self._clock() if now is None else now) >= int(expires):
            raise InvalidSignature("the address has expired; ask for the record again to get a new one")
        try:
            library, _, key = path.removeprefix(PREFIX).partition("/")
            return parse_library(library), parse_key(key)
        except InvalidRequest as error:
            raise InvalidSignature(_NOT_VALID) from error

    @property
    def current(self) -> str:
        """Id of the secret that signs: the newest."""
        return max(self._secrets, key=lambda kid: (self._secrets[kid].created_at, kid))

    def rotate(self, now: float | None = None) -> str:
        """Sign with a new secret from now on; what the old ones have signed stays valid. Returns its id."""
        kid, secret = _new_secret(self._clock() if now is None else now)
        self._replace({**self._secrets, kid: secret})
        return kid

    def prune(self, now: float | None = None) -> int:
        """Drop the secrets whose last URL has expired: their successor is older than two lifetimes. Returns how many."""
        now = self._clock() if now is None else now
        by_age = sorted(self._secrets, key=lambda kid: (self._secrets[kid].created_at, kid))
        kept = {
            kid: self._secrets[kid]
            for kid, successor in zip(by_age, [*by_age[1:], None], strict=True)
            if successor is None or self._secrets[successor].created_at + 2 * self._lifetime_s > now
        }
        dropped = len(by_age) - len(kept)
        if dropped:
            self._replace(kept)
        return dropped

    def _signature(self, kid: str, method: str, path: str, expires: str, variant: str) -> str:
        """Base64url without padding: 43 characters. It is compared as text, for its last character has two idle bits."""
        message = b"".join(
            b"%d:%b," % (len(field), field) for field in map(_encode, (method, path, expires, kid, variant))
        )
        digest = hmac.digest(bytes.fromhex(self._secrets[kid].secret), message, hashlib.sha256)
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()

    # --- the file ----------------------------------------------------------------------------------

    def _load_or_make(self) -> dict[str, Secret]:
        if not self._path.exists():
            kid, secret = _new_secret(self._clock())
            temp = self._write_temp({kid: secret})
            try:
                with suppress(FileExistsError):  # another process was first; then its secret is the one
                    os.link(temp, self._path)
            finally:
                temp.unlink()
            _sync_folder(self._path.parent)
        try:
            loaded = msgspec.json.decode(self._path.read_bytes(), type=dict[str, Secret])
            if not loaded or any(len(bytes.fromhex(secret.secret)) < 32 for secret in loaded.values()):
                raise SettingsError(f"{self._path}: it holds no secret of 32 bytes; remove it to have a new one made")
        except ValueError as error:
            raise SettingsError(f"{self._path}: {error}; remove it to have a new one made") from error
        return loaded

    def _replace(self, changed: dict[str, Secret]) -> None:
        self._write_temp(changed).replace(self._path)
        _sync_folder(self._path.parent)
        self._secrets = changed

    def _write_temp(self, content: dict[str, Secret]) -> Path:
        temp = self._path.with_name(f"{self._path.name}.{secrets.token_hex(8)}")
        fd = os.open(temp, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "wb") as file:
            file.write(msgspec.json.format(msgspec.json.encode(content), indent=2) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        return temp


def _new_secret(now: float) -> tuple[str, Secret]:
    return secrets.token_hex(4), Secret(secrets.token_hex(32), now)


def _encode(text: str) -> bytes:
    """UTF-8 that maps every string to bytes of its own, also one with the lone surrogates that a broken query can hold."""
    return text.encode("utf-8", "surrogatepass")


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
