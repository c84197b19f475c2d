"""Whether somebody ought to look at a cut-out before a shop shows it.

Of the shots with known mattes (`tests/runners/shots`) that are off by more than a twentieth of the product, three in ten are
doubted, of the others one in forty. What a net leaves out without a doubt, on a ground of its own colour, is not found.
"""

from __future__ import annotations

from scipy import ndimage

from pergai.imaging.outline import net_pixel
from pergai.imaging.picture import FloatPlane

_SIDE = 600
"""Pixels of the longer side at which the mask is looked at."""
_RAMP = 3.0
"""The coarsest net's pixels from the outline on that its doubts are no mere ramp."""
_UNDECIDED = 0.1
"""Pixels that the net is in doubt about there, over those of the product, to be doubted."""


def doubtful(mask: FloatPlane, alpha: FloatPlane) -> bool:
    """By the net's `mask`, where it was undecided over whole parts. Both planes (height, width) are 0-1."""
    step = max(1, round(max(alpha.shape) / _SIDE))
    mask, alpha = mask[::step, ::step], alpha[::step, ::step]
    solid = alpha > 0.5
    if not solid.any() or solid.all():
        return False
    beside = ndimage.distance_transform_edt(solid) + ndimage.distance_transform_edt(~solid)
    far = beside > _RAMP * net_pixel(mask)
    return float((4.0 * mask * (1.0 - mask))[far].sum() / alpha.sum()) > _UNDECIDED
