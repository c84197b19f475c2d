"""The receipt: proof that the product came through.

The file as it was encoded is decoded again and compared with the placed source inside the eroded matte.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pergai.errors import ProductAltered
from pergai.imaging.picture import RGB
from pergai.imaging.planes import picked


class Receipt(NamedTuple):
    """Differences in 1/255."""

    max_difference: int
    mean_difference: float
    """Over all checked pixels and channels."""
    checked_pixels: int


class Limit(NamedTuple):
    max_difference: int
    mean_difference: float


EXACT = Limit(0, 0.0)
LOSSY = Limit(32, 4.0)
"""JPEG and AVIF as `encode` writes them. Measured over five photos, film grain, white noise, text and coloured lines:
at most 27 and 3.21. Any alteration at all is caught before encoding, where the limit is 0."""

LIMITS: dict[str, Limit] = {
    "png": EXACT, "webp": EXACT, "tiff": EXACT, "psd": EXACT, "jpeg": LOSSY, "avif": LOSSY,
}  # fmt: skip
"""By the file's format."""


def receipt(reference: RGB, where: npt.NDArray[np.bool_], pixels: RGB) -> Receipt:
    """How far `pixels` is from `reference` where `where` (height, width) is true.

    Raises ProductAltered when the sizes differ. Nothing to check gives (0, 0.0, 0).
    """
    if reference.shape != pixels.shape or where.shape != pixels.shape[:2]:
        raise ProductAltered(
            f"the result is {pixels.shape[1]}×{pixels.shape[0]}, the placed source "
            f"{reference.shape[1]}×{reference.shape[0]}"
        )
    one, other = picked(pixels, where), picked(reference, where)
    if not one.size:
        return Receipt(0, 0.0, 0)
    difference = np.maximum(one, other) - np.minimum(one, other)
    return Receipt(int(difference.max()), float(difference.mean()), len(difference))


def require(found: Receipt, limit: Limit) -> None:
    """Raises ProductAltered naming the numbers when the receipt is beyond the limit."""
    if found.max_difference > limit.max_difference or found.mean_difference > limit.mean_difference:
        raise ProductAltered(
            f"inside the product the result differs from the source by up to {found.max_difference} "
            f"(mean {found.mean_difference:.3f}) of 255; at most {limit.max_difference} "
            f"(mean {limit.mean_difference:g}) is allowed"
        )
