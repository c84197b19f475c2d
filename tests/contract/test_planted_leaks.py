"""The contract tests can fail: each finds the bug that was planted for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from server import Server
from shop import Shop, furnish
from test_files import test_without_a_signature_no_file_is_opened as check_unsigned_files
from test_two_keys import (
    LISTS,
    REFUSED,
)
from test_two_keys import (
    test_a_list_shows_nothing_of_another_library as check_list,
)
from test_two_keys import (
    test_a_read_only_key_reads_and_changes_nothing as check_read_only_key,
)
from test_two_keys import (
    test_another_librarys_record_is_not_found as check_refused,
)


@contextmanager
def two_shops(planted: str) -> Iterator[tuple[Server, Shop, Shop]]:
    with Server(planted=planted) as server:
        keys = server.create_key(), server.create_key(library="other")
        with server.client(keys[0]) as client, server.client(keys[1]) as other:
            yield server, furnish(keys[0], client), furnish(keys[1], other)


def products(server: Server, shop: Shop, other: Shop) -> None:
    for route, row in REFUSED:
        check_refused(route, row, shop, other)


def lists(server: Server, shop: Shop, other: Shop) -> None:
    for route, row in LISTS:
        check_list(route, row, shop, other)


def read_only(server: Server, shop: Shop, other: Shop) -> None:
    check_read_only_key(server, shop)


def signatures(server: Server, shop: Shop, other: Shop) -> None:
    check_unsigned_files("", shop.generation["resultImagePath"], shop.key)


BUGS = {
    "skipped_library_check": products,
    "unlimited_list": lists,
    "writing_reader": read_only,
    "unsigned_files": signatures,
}


@pytest.mark.slow
@pytest.mark.parametrize("bug", BUGS)
def test_a_planted_leak_is_found(bug: str) -> None:
    check: Callable[[Server, Shop, Shop], None] = BUGS[bug]

    with two_shops(bug) as (server, shop, other), pytest.raises((AssertionError, ValueError)):
        check(server, shop, other)
