"""A running server with one library, fresh for each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from server import Server
from studio import Studio, open_studio


@pytest.fixture
def studio() -> Iterator[Studio]:
    with Server() as server:
        yield open_studio(server)
