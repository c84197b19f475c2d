"""The picture as a segmentation net is shown it: a product on white is exposed for the white, not for itself.

A white cup on white paper differs from its ground by a few hundredths of the brightness, and a net takes both for the ground.
Printed darker, its shaded side and its rim stand out.
"""

from __future__ import annotations

import numpy as np

from pergai.imaging.picture import RGB

_GROUND = 0.9
"""Brightness that a lighter ground is brought down to, 0-1 as it is stored."""
_DARKEST = 4.0
"""The exponent that it is brought down by at most: white that is clipped stays white, and all else would go black."""
_RIM = 0.01
"""Of the shorter side of a picture, whose brightness is its ground's."""


def exposed_for_ground(picture: RGB) -> RGB:
    """Darker where its ground is lighter than `_GROUND`, by one exponent for all of it, or else the picture itself."""
    ground = _ground(picture)
    if ground <= _GROUND:
        return picture
    exponent = min(np.log(_GROUND) / np.log(ground), _DARKEST) if ground < 1.0 else _DARKEST
    curve = np.round(255.0 * (np.arange(256) / 255.0) ** exponent).astype(np.uint8)
    return curve[picture]


def _ground(picture: RGB) -> float:
    """Median brightness along the rim, 0-1."""
    width = max(1, round(_RIM * min(picture.shape[:2])))
    sides = picture[:width], picture[-width:], picture[:, :width], picture[:, -width:]
    return float(np.median(np.concatenate([side.reshape(-1, 3).mean(axis=-1) for side in sides]))) / 255.0
