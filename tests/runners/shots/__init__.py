"""Photographs of products whose alpha is known: path-traced by `shoot.py` and kept here, 59 of them.

Two splits with other products, grounds, light and seeds. Thresholds are tuned on `tuning` (and on the drawings of
`known_alpha.py`); `held_out` only says how good the result is: nobody may look at it to choose a number.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

Split = Literal["tuning", "held_out"]

TEXTURED = frozenset({"planks", "concrete", "garage", "tiles", "terrazzo", "herringbone", "cafe", "portrait"})


class Shot(NamedTuple):
    name: str
    plain: bool
    image: npt.NDArray[np.uint8]
    alpha: npt.NDArray[np.float32]
    """The truth."""


def shots(split: Split) -> Iterator[Shot]:
    """Every shot of a split, by name: product-ground."""
    for path in sorted((Path(__file__).parent / split).glob("*.jpg")):
        alpha = np.asarray(Image.open(path.with_suffix(".png")), dtype=np.float32) / np.float32(255.0)
        image = np.asarray(Image.open(path).convert("RGB"))
        yield Shot(path.stem, path.stem.split("-")[1] not in TEXTURED, image, alpha)
