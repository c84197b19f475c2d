"""Whether somebody ought to look at a cut-out before a shop shows it.

Of the shots with known mattes (`tests/runners/shots`) that are off by more than a twentieth of the product, two in five are
doubted, of the others one in forty. What a net leaves out without a doubt, on a ground of its own colour, is not found.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from pergai.imaging.outline import net_pixel
from pergai.imaging.picture import FloatPlane
from pergai.imaging.planes import Colours, dot

_SIDE = 600
"""Pixels of the longer side at which the outline is looked at."""
_BESIDE = 1 / 75
"""Of the longer side: so far on both sides of the outline colours are compared."""
_ALIKE = 0.04
"""Distance (0-√3) of two colours that nobody tells apart beside each other in a photo."""
_UNSEEN = 0.12
"""Share of an outline that must run between such colours to be doubted."""
_RAMP = 3.0
"""The net's pixels from the outline on that its doubts are no mere ramp."""
_UNDECIDED = 0.1
"""Pixels that the net is in doubt about there, over those of the product, to be doubted."""


def doubtful(image: Colours, mask: FloatPlane, alpha: FloatPlane) -> bool:
    """By the outline, where product and ground look alike over a good part of it, or by the net's `mask`, where it was undecided
    over whole parts. `image` (height, width, 3) and both planes (height, width) are 0-1."""
    step = max(1, round(max(alpha.shape) / _SIDE))
    image, mask, alpha = image[::step, ::step], mask[::step, ::step], alpha[::step, ::step]
    solid = alpha > 0.5
    if not solid.any() or solid.all():
        return False
    depth, beyond = ndimage.distance_transform_edt(solid), ndimage.distance_transform_edt(~solid)
    far = np.where(solid, depth, beyond) > _RAMP * net_pixel(mask)
    undecided = float((4.0 * mask * (1.0 - mask))[far].sum() / alpha.sum())
    if undecided > _UNDECIDED:
        return True
    reach = _BESIDE * max(alpha.shape)
    inner = _mean_near(image, (alpha > 0.95) & (depth <= reach), reach / 2)
    outer = _mean_near(image, (alpha < 0.05) & (beyond <= reach), reach / 2)
    line = (inner - outer)[solid & (depth <= 1.5)]
    seen = np.isfinite(line).all(axis=-1)
    return bool(seen.any()) and float((np.sqrt(dot(line, line))[seen] < _ALIKE).mean()) > _UNSEEN


def _mean_near(image: Colours, where: np.ndarray, reach: float) -> Colours:
    """The mean colour of what is near, weighted by its nearness; no number where nothing is."""
    weights = where.astype(np.float32)
    total = ndimage.gaussian_filter(weights, reach)
    sums = [ndimage.gaussian_filter(plane * weights, reach) for plane in np.moveaxis(image, -1, 0)]
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.stack([np.where(total > 1e-3, plane / total, np.nan) for plane in sums], axis=-1)
