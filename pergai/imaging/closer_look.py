"""A second, closer look of a segmentation net: at the part of the picture where its first one found the product.

A net of a fixed input side draws a product that fills a third of the frame with a third of its pixels. Shown only the
product and some surroundings, it draws finer, and sees spokes and gaps it had missed. It has lost the whole, though: it may
fill a ring, or doubt what it was sure of. So the first look keeps a veto, and a net that sees finely is asked once more only
about a product that is small, or that it was undecided about.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import ndimage

from pergai.imaging.outline import NET_SIDE, net_pixel
from pergai.imaging.picture import RGB, FloatPlane

_FOUND, _SOLID = 0.3, 0.5
"""What the net gives to a product's doubtful parts, and to what is one."""

_MARGIN = 0.1
"""Surroundings shown with the product, as a share of its longer side."""

_WORTH = 0.9
"""A box longer than this share of the picture is no closer look."""

_UNDECIDED = 0.1
"""What the net doubts over whole areas, over what it takes for the product, that a second look may settle."""

_HOLES = 0.5, 0.7, 0.9
"""A dent of the first look's mask that is closed at one of these levels is a hole."""

_SURER = 0.3
"""By how much (0-1) the closer look may be less sure than the first before it is not heard."""

_OUTWARDS = 3.0
"""Beyond the first outline, by a pixel of the net, the closer look may give so many times the first."""

_RETREAT = 0.15
"""A closer look whose product reaches less far by this share of its longer side has lost it."""


class Look(NamedTuple):
    """What a net says of a picture."""

    mask: FloatPlane
    """0-1, of the picture's size."""
    side: int
    """Longer side of the net's own output, in its pixels."""


class Box(NamedTuple):
    """Rows and columns of a part of a picture."""

    top: int
    bottom: int
    left: int
    right: int

    @property
    def longer(self) -> int:
        """The longer side."""
        return max(self.bottom - self.top, self.right - self.left)

    def of(self, picture: RGB) -> RGB:
        return np.ascontiguousarray(picture[self.top : self.bottom, self.left : self.right])


def closer_box(look: Look) -> Box | None:
    """Where to look closer, or None when nothing was found, the product fills the picture already, or the net drew it with as
    many pixels as the coarsest net has and was sure of it."""
    mask = look.mask
    if mask.max() <= _SOLID:
        return None
    height, width = mask.shape
    found = _extent(mask, _FOUND)
    margin = max(1, round(_MARGIN * (found.longer - 1)))
    box = Box(
        max(0, found.top - margin),
        min(height, found.bottom + margin),
        max(0, found.left - margin),
        min(width, found.right + margin),
    )
    share = box.longer / max(height, width)
    return box if share < _WORTH and (share * look.side < NET_SIDE or _undecided(mask)) else None


def with_closer_look(mask: FloatPlane, closer: FloatPlane, box: Box) -> FloatPlane:
    """The mask of the whole picture, redrawn inside `box` by the closer look's mask of it.

    Holes of the first look stay holes and its outline moves outwards by no more than a pixel of the net; where the closer
    look is in two minds over a whole area and the first is not, or has lost a part of the product, the first stands.
    """
    unit, finer = net_pixel(mask), max(closer.shape) / NET_SIDE
    second = np.zeros_like(mask)
    second[box.top : box.bottom, box.left : box.right] = closer
    hole = np.any([ndimage.binary_fill_holes(mask > level) & (mask <= level) for level in _HOLES], axis=0)
    near = np.minimum(_OUTWARDS * ndimage.maximum_filter(mask, 2 * round(unit) + 1), np.float32(1.0))
    second = np.minimum(second, np.where(hole, mask, near))
    doubt = ndimage.maximum_filter(_wide_doubt(second, finer), 2 * round(finer) + 1) - _wide_doubt(mask, unit)
    heard = ndimage.gaussian_filter(np.clip(1.0 - doubt / _SURER, 0.0, 1.0), finer)
    redrawn = np.asarray(mask + heard * (second - mask), dtype=np.float32)
    if redrawn.max() <= _SOLID:
        return mask
    before, after = _extent(mask, _SOLID), _extent(redrawn, _SOLID)
    lost = max(
        after.top - before.top, before.bottom - after.bottom, after.left - before.left, before.right - after.right
    )
    return redrawn if lost < _RETREAT * before.longer else mask


def _extent(mask: FloatPlane, level: float) -> Box:
    """The box of what the mask gives more than `level`; there is some."""
    rows, columns = np.flatnonzero((mask > level).any(axis=1)), np.flatnonzero((mask > level).any(axis=0))
    return Box(int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1)


def _undecided(mask: FloatPlane) -> bool:
    return float(_wide_doubt(mask, net_pixel(mask)).sum()) > _UNDECIDED * float((mask > _SOLID).sum())


def _wide_doubt(mask: FloatPlane, unit: float) -> FloatPlane:
    """0 where the net is sure, 1 at one half, over areas: the narrow doubt along an outline left out."""
    doubt = (1.0 - np.abs(2.0 * mask - 1.0)).astype(np.float32)
    return np.asarray(ndimage.grey_opening(doubt, 2 * round(1.5 * unit) + 1), dtype=np.float32)
