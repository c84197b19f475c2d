"""Where things lie: the data home of a server, and the cards that ship with the package."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent
_INSTALLED_CARDS = _PACKAGE / "_cards"
_CHECKOUT = None if _INSTALLED_CARDS.is_dir() else _PACKAGE.parent


def default_home() -> Path:
    """`PERGAI_HOME`; else `data` in the checkout that pergai runs from, as `make` has it; else, installed from a wheel,
    `$XDG_DATA_HOME/pergai` or `~/.local/share/pergai`."""
    if home := os.environ.get("PERGAI_HOME"):
        return Path(home).expanduser().resolve()
    if _CHECKOUT is not None:
        return _CHECKOUT / "data"
    data = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
    return (Path(data).expanduser() / "pergai").resolve()


def packaged(folder: str) -> Path:
    """A folder of cards (`models`, `pipelines`, `configs`) as it ships: in the wheel, else in the checkout."""
    return (_CHECKOUT or _INSTALLED_CARDS) / folder


@dataclass(frozen=True, slots=True)
class Home:
    """The data folder of one server. Every path in it is named here."""

    root: Path
    weights_folder: Path | None = None
    """Weights shared by several data folders (`PERGAI_WEIGHTS`); else they lie in this one."""

    @property
    def database(self) -> Path:
        return self.root / "pergai.db"

    @property
    def files(self) -> Path:
        """Images, one folder a library."""
        return self.root / "files"

    @property
    def weights(self) -> Path:
        """One folder a model card."""
        return self.weights_folder or self.root / "weights"

    @property
    def cache(self) -> Path:
        """What can be made again: mattes, textures, kernels. Safe to delete while the server is stopped."""
        return self.root / "cache"

    @property
    def temp(self) -> Path:
        """Unfinished files; on the same file system as `files`, so that a rename is atomic."""
        return self.root / "tmp"

    @property
    def secrets(self) -> Path:
        """Keys that sign URLs, by key id."""
        return self.root / "secrets.json"

    @property
    def lock(self) -> Path:
        return self.root / "lock"

    @property
    def admin_socket(self) -> Path:
        """Where the running server takes requests of the command line."""
        return self.root / "admin.sock"

    def overlay(self, folder: str) -> Path:
        """The studio's own cards, read after the packaged ones and stronger than they are."""
        return self.root / folder

    def create(self) -> None:
        """Make the folders that are missing, readable by their owner only."""
        for path in (self.root, self.files, self.weights, self.cache, self.temp):
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
