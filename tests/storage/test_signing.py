"""Signed URLs: no byte of one can be changed, none outlives its expiry, and the secret stays secret."""

import hmac
import json
import os
import random
import string
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qsl, quote, unquote, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pergai.errors import InvalidRequest, InvalidSignature, SettingsError
from pergai.paths import Home
from pergai.storage.signing import Signer

NOW = 1_790_000_123.0
HOUR = 3600.0


@pytest.fixture
def signer(home: Home) -> Signer:
    return Signer(home, HOUR, clock=lambda: NOW)


@pytest.fixture(scope="module")
def shared_signer(tmp_path_factory: pytest.TempPathFactory) -> Signer:
    home = Home(tmp_path_factory.mktemp("home"))
    home.create()
    return Signer(home, HOUR, clock=lambda: NOW)


Request = tuple[str, dict[str, str]]


def parse(url: str) -> Request:
    """As the server sees a URL: the path decoded, the last of equal parameters."""
    parts = urlsplit(url)
    return unquote(parts.path), dict(parse_qsl(parts.query, keep_blank_values=True))


def accepted(signer: Signer, url: str, method: str = "GET", now: float = NOW) -> bool:
    try:
        signer.verify(method, *parse(url), now=now)
    except InvalidSignature:
        return False
    return True


def test_a_signed_url_opens_its_file(signer: Signer) -> None:
    url = signer.sign("studio", "products/sample.png")

    assert signer.verify("GET", *parse(url)) == ("studio", "products/sample.png")
    assert url.startswith("/files/studio/products/sample.png?expires=")


def test_head_is_as_good_as_get_and_nothing_else_is(signer: Signer) -> None:
    url = signer.sign("studio", "x.png")

    assert accepted(signer, url, "HEAD")
    assert not any(accepted(signer, url, method) for method in ("PUT", "DELETE", "POST", "get", "", "GETHEAD"))


def test_the_same_url_comes_out_within_a_lifetime_so_that_a_browser_can_cache(signer: Signer) -> None:
    start = 1_800_000_000.0  # a multiple of an hour
    urls = {signer.sign("studio", "x.png", now=start + seconds) for seconds in range(1, 3601, 60)}

    assert len(urls) == 1
    assert signer.sign("studio", "x.png", now=start + 3601) not in urls


@settings(derandomize=True, max_examples=500, deadline=None)
@given(now=st.floats(0, 4e9), lifetime_s=st.floats(0.5, 1e6))
def test_a_url_is_valid_for_one_to_two_lifetimes(shared_signer: Signer, now: float, lifetime_s: float) -> None:
    signer = shared_signer
    url = signer.sign("studio", "x.png", now=now, lifetime_s=lifetime_s)

    assert accepted(signer, url, now=now)
    assert accepted(signer, url, now=now + lifetime_s * 0.999)
    assert not accepted(signer, url, now=now + 2 * lifetime_s + 1)


def test_a_url_expires_on_the_second_it_names(signer: Signer) -> None:
    url = signer.sign("studio", "x.png")
    expires = int(parse(url)[1]["expires"])

    assert accepted(signer, url, now=expires - 0.001)
    assert not accepted(signer, url, now=expires)


def test_no_file_descriptor_is_left_open(home: Home, signer: Signer) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))

    for _ in range(5):
        signer.rotate()
        Signer(home)

    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_an_expired_url_says_so_and_a_wrong_one_does_not_say_why(signer: Signer) -> None:
    path, query = parse(signer.sign("studio", "x.png"))
    with pytest.raises(InvalidSignature, match="expired"):
        signer.verify("GET", path, query, now=NOW + 3 * HOUR)

    wrong = [
        (path, {}),
        (path, {**query, "kid": "00000000"}),
        (path, {**query, "signature": ""}),
        (path, {**query, "signature": "\ud800é"}),
        (path, {**query, "expires": "9" * 5000}),
        (path, {**query, "expires": "soon"}),
        (path, {**query, "variant": "small"}),
        (path, {**query, "extra": "1"}),
        ("/files/studio/y.png", query),
        ("/files/", query),
        ("", query),
    ]
    details = set()
    for bad_path, bad_query in wrong:
        with pytest.raises(InvalidSignature) as caught:
            signer.verify("GET", bad_path, bad_query, now=NOW + 3 * HOUR)
        details.add(caught.value.detail)
    assert len(details) == 1
    assert "expired" not in details.pop()


def test_a_variant_is_signed_too(signer: Signer) -> None:
    plain, small = signer.sign("studio", "x.png"), signer.sign("studio", "x.png", variant="small")

    assert accepted(signer, small)
    assert not accepted(signer, small.replace("variant=small", "variant=large"))
    assert not accepted(signer, small.replace("&variant=small", ""))
    assert not accepted(signer, plain + "&variant=small")


@pytest.mark.parametrize("key", ["../x.png", "", "a//b", ".x", "a\nb"])
def test_a_malformed_key_is_not_signed(signer: Signer, key: str) -> None:
    with pytest.raises(InvalidRequest):
        signer.sign("studio", key)


# --- forging ----------------------------------------------------------------------------------------

URL_CHARS = string.ascii_letters + string.digits + "-._~/?&=%+ "


def tampered(urls: list[str], count: int) -> Iterator[tuple[str, str]]:
    """(the genuine URL, the changed one): flipped bits, replaced, dropped, doubled and moved bytes, parts of two URLs joined."""
    chance = random.Random(20261125)
    for _ in range(count):
        url = chance.choice(urls)
        at = chance.randrange(len(url))
        match chance.randrange(7):
            case 0:
                changed = url[:at] + chr(ord(url[at]) ^ 1 << chance.randrange(7)) + url[at + 1 :]
            case 1:
                changed = url[:at] + chance.choice(URL_CHARS) + url[at + 1 :]
            case 2:
                changed = url[:at] + url[at + chance.randint(1, 3) :]
            case 3:
                changed = url[:at] + chance.choice(URL_CHARS) + url[at:]
            case 4:
                changed = url[:at] + url[at : at + 2][::-1] + url[at + 2 :]
            case 5:
                to = chance.randrange(len(url))
                changed = url[:at] + url[at + 1 :]
                changed = changed[:to] + url[at] + changed[to:]
            case _:
                changed = url[:at] + chance.choice(urls)[at:]
        yield url, changed


def forgeries(signer: Signer, urls: list[str], count: int) -> list[str]:
    """Changed URLs that were accepted although they ask for something else than any genuine one."""
    genuine = [parse(url) for url in urls]
    found = []
    for _, changed in tampered(urls, count):
        try:
            path, query = parse(changed)
        except ValueError:  # "[" makes an address that no server sees
            continue
        try:
            signer.verify("GET", path, query, now=0)
        except InvalidSignature:
            continue
        except ValueError:
            pass  # an expiry that is no number got past the signature
        if (path, query) not in genuine:
            found.append(changed)
    return found


def some_urls(signer: Signer) -> list[str]:
    keys = ["x.png", "products/sample.png", "generations/0197f5a0-4c8e-7d3a-9b6f-2f6f3c1e8a55/1.png"]
    urls = [signer.sign(library, key, now=now) for library in ("a", "b", "studio") for key in keys for now in (0, NOW)]
    urls += [signer.sign("a", "x.png", variant=variant) for variant in ("1", "small")]
    signer.rotate()
    return urls + [signer.sign("a", key) for key in keys]


def test_none_of_a_hundred_thousand_tampered_urls_is_accepted(signer: Signer) -> None:
    assert forgeries(signer, some_urls(signer), 100_000) == []


class ComparesAPrefix(Signer):
    """Planted bug: only the beginning of the signature counts."""

    def _signature(self, kid: str, method: str, path: str, expires: str, variant: str) -> str:
        return super()._signature(kid, method, path, expires, variant)[:2]

    def verify(self, method, path, query, now=None):  # type: ignore[no-untyped-def]
        return super().verify(method, path, {**query, "signature": query.get("signature", "")[:2]}, now)


class IgnoresTheLibrary(Signer):
    """Planted bug: only the file's name is signed."""

    def _signature(self, kid: str, method: str, path: str, expires: str, variant: str) -> str:
        return super()._signature(kid, method, path.rpartition("/")[2], expires, variant)


class IgnoresTheExpiry(Signer):
    """Planted bug: the expiry can be changed."""

    def _signature(self, kid: str, method: str, path: str, expires: str, variant: str) -> str:
        return super()._signature(kid, method, path, "", variant)


class WithoutFrames(Signer):
    """Planted bug: the fields are joined as they are, so that a byte can move from one into the next."""

    def _signature(self, kid: str, method: str, path: str, expires: str, variant: str) -> str:
        return super()._signature(kid, "", "".join((method, path, expires, variant)), "", "")


@pytest.mark.parametrize("planted_bug", [ComparesAPrefix, IgnoresTheLibrary, IgnoresTheExpiry])
def test_the_same_tampering_finds_a_signer_with_a_bug(planted_bug: type[Signer], home: Home) -> None:
    signer = planted_bug(home, HOUR, clock=lambda: NOW)

    assert forgeries(signer, some_urls(signer), 20_000) != []


def compared_in_constant_time(signer: Signer, monkeypatch: pytest.MonkeyPatch) -> bool:
    compared: list[bytes] = []
    real = hmac.compare_digest
    monkeypatch.setattr(hmac, "compare_digest", lambda a, b: compared.append(b) or real(a, b))
    url = signer.sign("a", "x.png")
    signature = dict(parse_qsl(urlsplit(url).query))["signature"].encode()
    return accepted(signer, url) and compared == [signature]


def test_a_signature_is_compared_in_constant_time(signer: Signer, monkeypatch: pytest.MonkeyPatch) -> None:
    assert compared_in_constant_time(signer, monkeypatch)


class ComparesWithEquals(Signer):
    """Planted bug: whoever can measure time can guess a signature, character by character."""

    def verify(self, method, path, query, now=None):  # type: ignore[no-untyped-def]
        expected = self._signature(query["kid"], method, path, query["expires"], query.get("variant", ""))
        if query["signature"] == expected:
            library, _, key = path.removeprefix("/files/").partition("/")
            return library, key
        raise InvalidSignature("no")


def test_a_comparison_with_equals_is_found(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not compared_in_constant_time(ComparesWithEquals(home), monkeypatch)


def shifted(signer: Signer) -> list[str]:
    """Requests made by moving bytes of a genuine URL from one signed field into its neighbour, that were accepted."""
    path, query = parse(signer.sign("studio", "products/x1", now=NOW, variant="7small"))
    expires, variant = query["expires"], query["variant"]
    moves = [(path + expires[:cut], expires[cut:], variant) for cut in range(1, len(expires))]
    moves += [(path[:-1], path[-1] + expires, variant)]
    moves += [(path, expires + variant[:1], variant[1:]), (path, expires[:-1], expires[-1] + variant)]
    found = []
    for moved_path, moved_expires, moved_variant in moves:
        moved = {**query, "expires": moved_expires, "variant": moved_variant}
        try:
            signer.verify("GET", moved_path, moved, now=0)
        except InvalidSignature:
            continue
        found.append(moved_path)
    return found


def test_no_byte_moves_from_one_signed_field_into_the_next(signer: Signer) -> None:
    assert shifted(signer) == []


def test_the_same_moves_find_a_signer_without_frames(home: Home) -> None:
    assert shifted(WithoutFrames(home, HOUR)) != []


@settings(derandomize=True, max_examples=300, deadline=None)
@given(st.text(min_size=1, max_size=20).filter(lambda text: text != "small"))
def test_only_the_signed_variant_is_accepted(shared_signer: Signer, variant: str) -> None:
    path, query = parse(shared_signer.sign("studio", "x.png", now=NOW, variant="small"))

    with pytest.raises(InvalidSignature):
        shared_signer.verify("GET", path, {**query, "variant": variant}, now=NOW)


def test_any_text_can_be_a_variant(signer: Signer) -> None:
    for variant in ("&signature=", "\n", "ü", "a=b&c", "%26", " "):
        assert accepted(signer, signer.sign("studio", "x.png", variant=variant)), quote(variant)


# --- the secrets ------------------------------------------------------------------------------------


def test_the_secrets_lie_in_a_file_only_its_owner_can_read(home: Home, signer: Signer) -> None:
    assert home.secrets.stat().st_mode & 0o777 == 0o600
    held = json.loads(home.secrets.read_text())
    assert list(held) == [signer.current]
    assert set(held[signer.current]) == {"secret", "createdAt"}
    assert len(bytes.fromhex(held[signer.current]["secret"])) == 32
    assert [path.name for path in home.root.iterdir() if path.is_file()] == [home.secrets.name]


def test_a_restart_keeps_every_url_valid(home: Home, signer: Signer) -> None:
    url = signer.sign("studio", "x.png")

    assert accepted(Signer(home, HOUR), url)


def test_another_servers_url_is_refused(signer: Signer, tmp_path: Path) -> None:
    elsewhere = Home(tmp_path / "elsewhere")
    elsewhere.create()

    assert not accepted(signer, Signer(elsewhere, HOUR).sign("studio", "x.png", now=NOW))


def test_two_processes_that_start_at_once_share_one_secret(home: Home) -> None:
    """The second finds no file, makes one, and comes too late to put it in place."""
    first = Signer(home, HOUR)
    kept = home.secrets.read_bytes()
    home.secrets.unlink()
    exists = Path.exists
    late = {"done": False}

    def racing(path: Path) -> bool:
        if path == home.secrets and not late["done"]:
            late["done"] = True
            path.write_bytes(kept)
            return False
        return exists(path)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "exists", racing)
        second = Signer(home, HOUR)

    assert second.current == first.current
    assert accepted(second, first.sign("studio", "x.png", now=NOW))


def test_after_a_rotation_the_new_secret_signs_and_the_old_one_still_verifies(home: Home, signer: Signer) -> None:
    old = signer.sign("studio", "x.png")
    kid = signer.rotate(NOW + 1)
    new = signer.sign("studio", "x.png")

    assert f"kid={kid}" in new and f"kid={kid}" not in old
    for each in (signer, Signer(home, HOUR)):
        assert accepted(each, old) and accepted(each, new)
    assert home.secrets.stat().st_mode & 0o777 == 0o600


def test_a_secret_is_dropped_only_when_none_of_its_urls_can_be_valid(home: Home, signer: Signer) -> None:
    first = signer.sign("studio", "x.png", now=NOW)
    kid = signer.rotate(NOW + 1)

    assert signer.prune(NOW + 2 * HOUR) == 0
    assert accepted(signer, first)
    assert signer.prune(NOW + 1 + 2 * HOUR) == 1
    assert not accepted(signer, first)
    assert list(json.loads(home.secrets.read_text())) == [kid]
    assert signer.prune(NOW + 1000 * HOUR) == 0


@pytest.mark.parametrize(
    "content", ["", "{}", "[]", '{"a": {"secret": "abcd", "createdAt": 1}}', '{"a": {"secret": "xyz"}}']
)
def test_a_broken_secrets_file_is_an_error_and_is_not_replaced(home: Home, content: str) -> None:
    home.secrets.write_text(content)

    with pytest.raises(SettingsError, match=os.fspath(home.secrets)):
        Signer(home)
    assert home.secrets.read_text() == content
