"""The three colour channels, plane by plane or pixel by pixel: many times faster than numpy's loops over so short an axis."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

_Level = TypeVar("_Level", bound=np.generic)

Colours = npt.NDArray[np.float32]
"""(height, width, 3), 0-1."""


def dot(one: Colours, other: Colours) -> npt.NDArray[np.float32]:
    """Sum over the channels of the product."""
    return np.asarray(np.einsum("...c,...c->...", one, other))


def largest(colours: Colours) -> npt.NDArray[np.float32]:
    """The largest of the channels."""
    return np.maximum(np.maximum(colours[..., 0], colours[..., 1]), colours[..., 2])


def smallest(colours: Colours) -> npt.NDArray[np.float32]:
    """The smallest of the channels."""
    return np.minimum(np.minimum(colours[..., 0], colours[..., 1]), colours[..., 2])


def whole(pixels: npt.NDArray[Any]) -> npt.NDArray[np.void]:
    """(height, width) of what is (height, width, channels) and contiguous: a view of each pixel as one thing, to be chosen and
    copied but not reckoned with."""
    return pixels.view(np.dtype((np.void, pixels.itemsize * pixels.shape[-1])))[..., 0]


def picked(pixels: npt.NDArray[_Level], where: npt.NDArray[np.bool_]) -> npt.NDArray[_Level]:
    """(n, channels): the pixels of (height, width, channels) at which `where` is true."""
    return whole(np.ascontiguousarray(pixels))[where].view(pixels.dtype).reshape(-1, pixels.shape[-1])


def blacken(pixels: npt.NDArray[Any], where: npt.NDArray[np.bool_]) -> None:
    """Set the pixels of (height, width, channels), contiguous, to 0 at which `where` is true."""
    things = whole(pixels)
    np.copyto(things, np.zeros((), things.dtype), where=where)
