"""A scene in layers: the bare set, what the product takes from its light, what it adds to it, and the product."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy import ndimage

from pergai.engine.core import Outcome
from pergai.imaging.colour import to_16_bits
from pergai.imaging.composite import continue_behind
from pergai.imaging.layers import Layer, flatten, highest
from pergai.imaging.picture import RGB, Deep
from pergai.runners.render import develop, shoot
from pergai.runners.render.model import Light

Floats = npt.NDArray[np.float32]


def layered(plan: shoot.Plan, light: Light, bare: Light | None, bit_depth: int = 8) -> Outcome:
    """The picture of `shoot.finish`, with its layers: background, shadow (multiply), bounce (linear dodge; with the
    product's mirror image), product.

    `bare`: the light of `plan.bare`; None where the set is known to be white without it (`look.seamless`). The layers add
    up to the picture exactly, but for the product's soft edge: there the light behind the product is continued as a
    share of the bare set's, which knows better than its neighbours do.
    """
    outcome = shoot.finish(plan, light, bit_depth)
    lit = _levels(shoot.ground(plan, light), bit_depth)
    if bare is None:
        background = np.full_like(lit, highest(lit))
    else:
        unseen = replace(plan, hidden=np.zeros_like(plan.hidden))
        background = _levels(shoot.ground(unseen, bare), bit_depth)
    placed = plan.subject.placed
    shadow, bounce = difference(lit, background, _at_full_size(plan.hidden, placed.alpha.shape))
    layers = [Layer("background", background)]
    if (shadow < highest(shadow)).any():
        layers.append(Layer("shadow", shadow, blend="multiply"))
    if bounce.any():
        layers.append(Layer("bounce", bounce, blend="linear-dodge"))
    product: RGB | Deep = placed.foreground
    if bit_depth == 16:
        product = to_16_bits(placed.foreground) if placed.deep is None else placed.deep
    layers.append(Layer("product", product, placed.alpha))
    pixels, _, deep = flatten(layers)
    return replace(outcome, pixels=pixels, deep=deep, layers=tuple(layers))


def difference(lit: RGB | Deep, bare: RGB | Deep, hidden: npt.NDArray[np.bool_]) -> tuple[RGB | Deep, RGB | Deep]:
    """What turns the bare set into the lit one: a factor (white is 1) and a sum, both continued into what is hidden.

    Elsewhere `bare * shadow / white + bounce` is `lit` to half a level: where the set is darker with the product the factor
    alone says so, where it is brighter the sum does.
    """
    below = np.maximum(bare, 1).astype(np.float32)
    share = np.minimum(lit / below, 1).astype(np.float32)
    more = np.maximum(lit.astype(np.float32) - bare, 0)
    shadow = continue_behind(share, hidden)
    bounce = continue_behind(more, hidden)
    white, bit_depth = np.float32(highest(lit)), 8 * lit.itemsize
    return _levels(shadow, bit_depth), _levels(bounce / white, bit_depth)


def _levels(picture: Floats, bit_depth: int) -> RGB | Deep:
    """A picture of 0-1 in 8 or 16 bits a channel."""
    if bit_depth == 8:
        return develop.to_bytes(picture)
    return np.asarray(np.clip(np.rint(picture * np.float32(65535)), 0, 65535), np.uint16)


def _at_full_size(hidden: npt.NDArray[np.bool_], shape: tuple[int, ...]) -> npt.NDArray[np.bool_]:
    if hidden.shape == shape:
        return hidden
    large = np.asarray(Image.fromarray(hidden).resize((shape[1], shape[0]), Image.Resampling.NEAREST))
    return np.asarray(ndimage.binary_dilation(large, iterations=round(shape[0] / hidden.shape[0])), np.bool_)
