"""Photographs of products whose alpha is known: path-traced by `shoot.py` and kept here.

Two splits with other products, grounds, light and seeds. Thresholds are tuned on `tuning` (small ones, many of them hard on
purpose; and on the drawings of `known_alpha.py`). `held_out` only says how good the result is: nobody may look at it to choose
a number. Its shots are 900 pixels long and were chosen, before any was cut out, to be what a shop has: a pump bottle, a
jar, a folding box, a cup, a jug, perfume, a shoe, a handbag, a watch, sunglasses, a bangle, a toy car, a plush rabbit, an
armchair, a lantern; on white, grey, black and coloured paper with their own contact shadows, some on or before something
textured. A shot of it that somebody has looked at (`SEEN`) counts for tuning from then on.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

Split = Literal["tuning", "held_out"]

TEXTURED = frozenset({
    "planks", "concrete", "garage",
    "travertine", "wood", "asphalt", "linen", "marble", "denim", "launch", "cat",
})  # fmt: skip

SEEN = frozenset({
    "bangle-white", "trainer-white", "cup-white", "jar-white", "perfume-grey", "bottle-white", "handbag-white",
})  # fmt: skip


class Shot(NamedTuple):
    name: str
    plain: bool
    image: npt.NDArray[np.uint8]
    alpha: npt.NDArray[np.float32]
    """The truth."""


def shots(split: Split) -> Iterator[Shot]:
    """Every shot of a split, by name: product-ground."""
    folder = Path(__file__).parent
    held_out = [path for path in folder.glob("held_out/*.jpg") if (path.stem in SEEN) == (split == "tuning")]
    for path in sorted([*held_out, *(folder.glob("tuning/*.jpg") if split == "tuning" else ())]):
        alpha = np.asarray(Image.open(path.with_suffix(".png")), dtype=np.float32) / np.float32(255.0)
        image = np.asarray(Image.open(path).convert("RGB"))
        yield Shot(path.stem, path.stem.split("-")[1] not in TEXTURED, image, alpha)
