"""Many products on one set: the empty set is lit once, well; a product adds only what it changes.

Near the product, where it throws its shadow and is mirrored, the set is traced anew. All round, both the empty set B and the set
with the product T are traced with a path or two a pixel and the same random numbers. Where the product changes nothing their
paths are the same and T - B is exactly 0, elsewhere its noise is a fifth of T's: a control variate. What a product changes
there is faint and soft, and is averaged over a neighbourhood; what it does not reach is the same to the byte in every picture.
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
from pergai.imaging.placement import Box
from pergai.runners.render.denoise import Guide
from pergai.runners.render.neighbourhood import mean_around

Floats = npt.NDArray[np.float32]

VERSION = 8
"""Of how light is sampled and cleaned: kept sets of another one have other noise, and a product would seem to change all."""
KEPT_SETS = 12
"""Empty sets that are kept, the latest used; one of 1024² has 36 MiB, with a relief 48."""
REACH = 39
"""Pixels over which a faint change is averaged."""
STRAY = 8
"""Times as bright as its place is what counts of a path at most: a single bright one would glow over `REACH`, and look like an
edge."""
FAINTEST = 0.003
"""Changes below this share of the set's mean light are none."""
FINE = 19
"""Pixels over which a change is averaged to see whether it has edges."""
EDGED = 0.03
"""Changes that differ by this share of the light in their place between the two averages are traced anew."""
SPECKS_FROM = 1 << 20
"""Pixels of a picture in which no edge is as small as a speck of noise."""
MARGIN = 32
"""Pixels round such changes that are traced with them."""
FEATHER = 24
"""Pixels at its border over which what was traced anew goes over into its surroundings."""


@dataclass(frozen=True, slots=True)
class Empty:
    """A set without a product: its light, each (height, width, 3), and its surfaces."""

    colour: Floats
    """Converged and denoised."""
    first: Floats
    """Of a few paths a pixel, with its noise: what T is compared with."""
    guide: Guide


def added(empty: Empty, light: Floats, hidden: npt.NDArray[np.bool_]) -> tuple[Floats, Box]:
    """The light of the set with a product, right where that changes little, and the box outside of which it is right.

    `light` is that of a few paths a pixel with the random numbers of `empty.first`. Where the product changes nothing, the
    result is exactly `empty.colour`. What is `hidden` behind the product is continued from beside it.
    """
    most = STRAY * mean_around(empty.colour, FINE)
    change = fill_behind(np.minimum(light, most) - np.minimum(empty.first, most), hidden)
    soft = mean_around(change, REACH)
    share = np.clip(np.abs(soft).max(axis=-1) / (FAINTEST * float(empty.colour.mean())) - 1, 0, 1)
    colour = np.asarray(np.maximum(empty.colour + soft * share[..., None], 0), np.float32)
    lost = np.abs(mean_around(change, FINE) - soft).max(axis=-1)
    edged = (lost > EDGED * mean_around(empty.colour, REACH).max(axis=-1)) & ~hidden
    return colour, _round(_without_specks(edged))


def _without_specks(where: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Without parts smaller than what one pixel's noise is averaged over; in small pictures a shadow's edge is no larger."""
    parts, _ = ndimage.label(where)
    least = FINE**2 * min(1.0, where.size / SPECKS_FROM)
    return np.asarray((np.bincount(parts.ravel()) >= least)[parts] & where, np.bool_)


def _round(where: npt.NDArray[np.bool_]) -> Box:
    height, width = where.shape
    if not where.any():
        return Box(0, 0, 0, 0)
    (top, bottom), (left, right) = (np.flatnonzero(where.any(axis=axis))[[0, -1]].tolist() for axis in (1, 0))
    return Box(
        max(left - MARGIN, 0), max(top - MARGIN, 0), min(right + 1 + MARGIN, width), min(bottom + 1 + MARGIN, height)
    )


def set_in(colour: Floats, box: Box, near: Floats) -> Floats:
    """`near` (height and width of the box, 3) in its place in the light, going over into it at those sides where that goes on."""
    height, width = colour.shape[:2]
    rows, columns = _inwards(box.top, box.bottom, height), _inwards(box.left, box.right, width)
    share = np.minimum(rows[:, None], columns[None])[..., None]
    here = np.s_[box.top : box.bottom, box.left : box.right]
    whole = colour.copy()
    whole[here] += (near - whole[here]) * share
    return whole


def _inwards(start: int, stop: int, end: int) -> Floats:
    """0-1 along one side of a box: how far from its ends, but for an end that is the picture's own."""
    inwards = (np.arange(stop - start) + 0.5) / FEATHER
    ramp = np.ones_like(inwards)
    if start > 0:
        ramp = np.minimum(ramp, inwards)
    if stop < end:
        ramp = np.minimum(ramp, inwards[::-1])
    return np.asarray(ramp, np.float32)


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
            empty = Empty(kept["colour"], kept["first"], Guide(kept["albedo"], kept.get("normals")))
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
        guide: dict[str, Any] = {"albedo": empty.guide.albedo}
        if empty.guide.normals is not None:
            guide["normals"] = empty.guide.normals
        np.savez(part, colour=empty.colour, first=empty.first, **guide)
    os.replace(part.name, folder / f"{key}.npz")  # noqa: PTH105 - one atomic step
    oldest_last = sorted(folder.glob("*.npz"), key=lambda path: path.stat().st_mtime, reverse=True)
    for path in oldest_last[KEPT_SETS:]:
        path.unlink(missing_ok=True)
