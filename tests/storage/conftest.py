"""A fresh data folder for each test."""

from pathlib import Path

import pytest

from pergai.paths import Home
from pergai.storage.files import FileStore


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path / "home")
    home.create()
    return home


@pytest.fixture
def files(home: Home) -> FileStore:
    return FileStore(home)
