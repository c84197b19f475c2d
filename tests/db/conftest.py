"""A database as the server makes it."""

from __future__ import annotations

from pathlib import Path

import pytest

from pergai.db.migrations import upgrade


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "pergai.db"
    upgrade(path)
    return path
