"""Signed URLs with one thing changed, through the whole HTTP stack."""

from __future__ import annotations

import random
import string
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import httpx

from drills import Done, nobody


def none_opens_a_file(urls: list[str], count: int, chance: random.Random, done: Done = nobody) -> int:
    """`urls` are good ones of one server. A bent one is 403 or 404, unless it says the same. Returns how many were refused."""
    server = "{0.scheme}://{0.netloc}".format(urlsplit(urls[0]))
    good = [parsed(url) for url in urls]
    refused = 0
    with httpx.Client() as client:
        for _ in range(count):
            bent = server + bend(
                chance.choice(urls).removeprefix(server), chance.choice(urls).removeprefix(server), chance
            )
            answer = client.get(bent)
            if answer.status_code == 200:
                assert parsed(bent) in good, bent
            else:
                assert answer.status_code in (403, 404), bent
                refused += 1
            done()
    return refused


def bend(text: str, other: str, chance: random.Random) -> str:
    """`text` with one character changed or gone, or with the end of `other`."""
    at = chance.randrange(7, len(text))
    match chance.randrange(3):
        case 0:
            return text[:at] + chance.choice(string.ascii_letters + string.digits) + text[at + 1 :]
        case 1:
            return text[:at] + text[at + 1 :]
        case _:
            return text[:at] + other[at:]


def parsed(url: str) -> tuple[str, dict[str, Any]]:
    parts = urlsplit(url)
    return unquote(parts.path), dict(parse_qsl(parts.query, keep_blank_values=True))
