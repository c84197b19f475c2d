"""A scene in layers: the bare set, what the product takes from its light, what it adds to it, and the product."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy import ndimage

from pergai.engine.core import Outcome
from pergai.imaging.composite import continue_behind
from pergai.imaging.layers import Layer, flatten
from pergai.imaging.picture import RGB
from pergai.runners.render import develop, shoot
from pergai.runners.render.model import Light

Floats = npt.NDArray[np.float32]


def layered(plan: shoot.Plan, light: Light, bare: Light | None) -> Outcome:
    """The picture of `shoot.finish`, with its layers: background, shadow (multiply), bounce (linear dodge; with the
    product's mirror image), product.

    `bare`: the light of `plan.bare`; None where the set is known to be white without it (`look.seamless`). The layers add
    up to the picture exactly, but for the product's soft edge: there the light behind the product is continued as a
    share of the bare set's, which knows better than its neighbours do.
    """
    outcome = shoot.finish(plan, light)
    lit = develop.to_bytes(shoot.ground(plan, light))
    if bare is None:
        background = np.full_like(lit, 255)
    else:
        unseen = replace(plan, hidden=np.zeros_like(plan.hidden))
        background = develop.to_bytes(shoot.ground(unseen, bare))
    placed = plan.subject.placed
    shadow, bounce = difference(lit, background, _at_full_size(plan.hidden, placed.alpha.shape))
    layers = [Layer("background", background)]
    if (shadow < 255).any():
        layers.append(Layer("shadow", shadow, blend="multiply"))
    if bounce.any():
        layers.append(Layer("bounce", bounce, blend="linear-dodge"))
    layers.append(Layer("product", placed.foreground, placed.alpha))
    return replace(outcome, pixels=flatten(layers)[0], layers=tuple(layers))


def difference(lit: RGB, bare: RGB, hidden: npt.NDArray[np.bool_]) -> tuple[RGB, RGB]:
    """What turns the bare set into the lit one: a factor (255 is 1) and a sum, both continued into what is hidden.

    Elsewhere `bare * shadow / 255 + bounce` is `lit` to half a level: where the set is darker with the product the factor
    alone says so, where it is brighter the sum does.
    """
    below = np.maximum(bare, 1).astype(np.float32)
    share = np.minimum(lit / below, 1).astype(np.float32)
    more = np.maximum(lit.astype(np.float32) - bare, 0)
    shadow = continue_behind(share, hidden)
    bounce = continue_behind(more, hidden)
    return develop.to_bytes(shadow), develop.to_bytes(bounce / np.float32(255))


def _at_full_size(hidden: npt.NDArray[np.bool_], shape: tuple[int, ...]) -> npt.NDArray[np.bool_]:
    if hidden.shape == shape:
        return hidden
    large = np.asarray(Image.fromarray(hidden).resize((shape[1], shape[0]), Image.Resampling.NEAREST))
    return np.asarray(ndimage.binary_dilation(large, iterations=round(shape[0] / hidden.shape[0])), np.bool_)
