"""What a decoded image is, everywhere in pergai."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

RGB: TypeAlias = npt.NDArray[np.uint8]
"""(height, width, 3), sRGB, 0-255."""

Deep: TypeAlias = npt.NDArray[np.uint16]
"""(height, width, 3), sRGB, 0-65535."""

Alpha: TypeAlias = npt.NDArray[np.uint8]
"""(height, width), coverage, 0 clear - 255 solid."""

FloatPlane: TypeAlias = npt.NDArray[np.float32]
"""(height, width), 0-1."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A decoded image: upright (EXIF orientation applied), converted to sRGB, 8 bits a channel.

    `alpha` is straight (not premultiplied), None when the image is solid.
    """

    pixels: RGB
    alpha: Alpha | None = None
    notes: tuple[str, ...] = field(default=())
    """What decoding had to decide, e.g. "animated_first_frame", "cmyk_without_profile"."""
    deep: Deep | None = None
    """`pixels` with all 16 bits a channel of the file, where it has them and they were asked for."""

    @property
    def width(self) -> int:
        return int(self.pixels.shape[1])

    @property
    def height(self) -> int:
        return int(self.pixels.shape[0])


@dataclass(frozen=True, slots=True)
class Matte:
    """A cut-out at the source's own size: how much of each pixel is product, and the product's own colour there.

    Compositing is `alpha * foreground + (1 - alpha) * background`. Where alpha is 255, `foreground` equals the
    source exactly.
    """

    alpha: Alpha
    foreground: RGB
    doubtful: bool = False
    """Whether somebody ought to look at it (see `doubt`)."""
