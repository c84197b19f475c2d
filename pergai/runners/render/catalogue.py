"""Many products on one set: the empty set is lit once, well; a product adds only what it changes.

Both the empty set B and the set with the product T are traced with the same random numbers. Where the product changes nothing
their paths are the same and T - B is exactly 0, elsewhere its noise is a fifth of T's: a control variate. So a few paths a
pixel of T - B on top of a B of many paths are better than T alone, and what the product does not reach is the same to
the byte in every picture.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from pergai.imaging.composite import fill_behind
from pergai.runners.render.denoise import denoise

Floats = npt.NDArray[np.float32]

KEPT_SETS = 12
"""Empty sets that are kept, the latest used; one of 1024² has 36 MiB."""
REACH = 16.0
"""Pixels over which a change is looked for."""
FAINTEST = 0.003
"""Changes below this share of the set's mean light are none."""
MARGIN = 48
"""Pixels that the denoiser sees round what it works on."""


@dataclass(frozen=True, slots=True)
class Empty:
    """The light of a set without a product, each (height, width, 3)."""

    colour: Floats
    """Converged and denoised."""
    first: Floats
    """Of a few paths a pixel, with its noise: what T is compared with."""
    albedo: Floats


def added(empty: Empty, light: Floats, hidden: npt.NDArray[np.bool_]) -> Floats:
    """The light of the set with a product: `light` is that of a few paths a pixel with the random numbers of `empty.first`.

    What the product takes (shadows) and what it gives (reflections, its colour on its surroundings) are each denoised as a
    picture of its own. Where it does neither, the result is exactly `empty.colour`. What is `hidden` behind the product is
    continued from beside it.
    """
    change = fill_behind(light - empty.first, hidden)
    least = FAINTEST * float(empty.colour.mean())
    given = _alone(np.maximum(change, 0), empty.albedo, least)
    taken = _alone(np.maximum(-change, 0), empty.albedo, least)
    return np.asarray(np.maximum(empty.colour + given - taken, 0), np.float32)


def _alone(part: Floats, albedo: Floats, least: float) -> Floats:
    """One part of a change without its noise, and exactly 0 where there is less of it than `least`."""
    clean = np.zeros_like(part)
    share = np.clip(ndimage.gaussian_filter(part.max(axis=-1), REACH) / least - 1, 0, 1)[..., None]
    if not share.any():
        return clean
    rows, columns = (np.flatnonzero((share[..., 0] > 0).any(axis=k)) for k in (1, 0))
    cut = np.s_[max(rows[0] - MARGIN, 0) : rows[-1] + MARGIN, max(columns[0] - MARGIN, 0) : columns[-1] + MARGIN]
    clean[cut] = denoise(part[cut], albedo[cut], quick=True) * share[cut]
    return clean


def fingerprint(*things: object) -> str:
    """A name for what decides about a picture: numbers, texts, arrays, and everything made of them."""
    digest = hashlib.blake2b(digest_size=16)
    for thing in things:
        _feed(digest, thing)
    return digest.hexdigest()


def _feed(digest: Any, thing: object) -> None:
    if isinstance(thing, np.ndarray):
        digest.update(f"{thing.dtype.str}{thing.shape}".encode())
        digest.update(np.ascontiguousarray(thing).data)
    elif is_dataclass(thing) and not isinstance(thing, type):
        for each in fields(thing):
            _feed(digest, each.name)
            _feed(digest, getattr(thing, each.name))
    elif isinstance(thing, Mapping):
        for key, value in thing.items():
            _feed(digest, key)
            _feed(digest, value)
    elif isinstance(thing, Sequence) and not isinstance(thing, str):
        digest.update(f"[{len(thing)}".encode())
        for value in thing:
            _feed(digest, value)
    else:
        digest.update(f"{type(thing).__name__}:{thing!r};".encode())


def read(folder: Path, key: str) -> Empty | None:
    """The kept empty set, or None when there is none that is whole."""
    path = folder / f"{key}.npz"
    try:
        with np.load(path) as kept:
            empty = Empty(kept["colour"], kept["first"], kept["albedo"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile):
        path.unlink(missing_ok=True)
        return None
    path.touch()
    return empty


def keep(folder: Path, key: str, empty: Empty) -> None:
    """Write an empty set, and let go of those that were not used for the longest time."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=folder, suffix=".part", delete=False) as part:
        np.savez(part, colour=empty.colour, first=empty.first, albedo=empty.albedo)
    os.replace(part.name, folder / f"{key}.npz")  # noqa: PTH105 - one atomic step
    oldest_last = sorted(folder.glob("*.npz"), key=lambda path: path.stat().st_mtime, reverse=True)
    for path in oldest_last[KEPT_SETS:]:
        path.unlink(missing_ok=True)
