"""The remove-bg tool: the product alone, on nothing or on one colour."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TypeVar

import msgspec
import numpy as np
import numpy.typing as npt
from scipy import ndimage

from pergai.engine.core import Desk, Job, Outcome, Reference, RemoveBgParams
from pergai.errors import NoProductFound
from pergai.imaging.colour import to_16_bits
from pergai.imaging.composite import foreground_deep, over_deep
from pergai.imaging.decode import decode
from pergai.imaging.layers import Layer
from pergai.imaging.picture import RGB, Alpha, Deep, Matte
from pergai.imaging.placement import Spot, place
from pergai.runners.cutout import cut_out, noted
from pergai.runners.render import contact
from pergai.runners.render.expose import expose
from pergai.runners.render.spec import check

_Colours = TypeVar("_Colours", RGB, Deep)
_Value = TypeVar("_Value", np.uint8, np.uint16, np.bool_)

SHADOW_ROOM = 0.4
"""With `crop` and a shadow: space the shadow is rendered in, on each side, as a share of the product's longer side."""

FAINT = 5
"""A crop does not keep shadow fainter than this: it reaches far and nobody sees it."""


@dataclass(frozen=True, slots=True)
class _Frame:
    """A window on the source in its own pixels; it may reach beyond the source, where everything is clear."""

    left: int
    top: int
    width: int
    height: int


class RemoveBg:
    """Runner `remove-bg`. Parameters: RemoveBgParams. Models: `segment`, and `engine` for shadows."""

    async def run(self, job: Job, desk: Desk) -> Outcome:
        """RGBA at the source's size; opaque with `background`; grey with `mask_only`; smaller or larger with `crop`; in
        a frame of its own with `width` and `height`.

        Raises UnreadableImage, TooLarge, NoProductFound, ModelUnavailable.
        """
        params = msgspec.convert(job.params, RemoveBgParams)
        models = desk.pipeline.models
        source = await desk.cpu(lambda: decode(Path(job.source), keep_depth=params.bit_depth == 16))
        cut = await cut_out(job, desk, source, models["segment"])
        matte, deep = await desk.cpu(_framed, cut, params, source.deep)
        shadow, used = None, [models["segment"]]
        if params.shadow != "none":
            shadow = await self._shadow(job, desk, matte, params.shadow)
            used.append(models["engine"])
        desk.progress(0.9, "compose")
        outcome = await desk.cpu(_composed, matte, shadow, params, deep, job.format == "psd")
        return replace(outcome, model="+".join(used), notes=noted(source, cut))

    async def _shadow(self, job: Job, desk: Desk, matte: Matte, shadow: Literal["soft", "hard"]) -> Alpha:
        photo_set = check(desk.scene(contact.SET))
        planned = await desk.cpu(lambda: contact.plan(photo_set, matte, shadow, seed=job.seed, cache=desk.cache))
        light = await expose(desk, desk.pipeline.models["engine"], planned.take, 0.45, 0.9, "shadow")
        return await desk.cpu(contact.cast, planned, light)


def _framed(matte: Matte, params: RemoveBgParams, source: Deep | None) -> tuple[Matte, Deep | None]:
    """The matte on the canvas its result will have, but for what a shadow may need less; and its foreground with 16 bits
    a channel, if they are asked for."""
    deep = None
    if params.bit_depth == 16:
        deep = to_16_bits(matte.foreground) if source is None else foreground_deep(source, matte)
    if params.width:
        return _centred(matte, params, deep)
    if params.crop:
        room = SHADOW_ROOM if params.shadow != "none" else 0.0
        frame = _product_frame(matte.alpha, max(params.margin, room))
        cropped = Matte(_cut(matte.alpha, frame), _cut(matte.foreground, frame))
        return cropped, None if deep is None else _cut(deep, frame)
    return matte, deep


def _composed(matte: Matte, shadow: Alpha | None, params: RemoveBgParams, deep: Deep | None, layered: bool) -> Outcome:
    """What the parameters make of a matte. `deep`: its foreground with 16 bits a channel; `layered`: with its layers."""
    where = ndimage.binary_erosion(matte.alpha == 255, np.ones((3, 3), dtype=bool))
    if params.mask_only:
        return Outcome(pixels=np.dstack([matte.alpha] * 3), grey=True, ai_made="enhanced")
    if shadow is not None and params.crop:
        frame = _product_frame(_shadowed(matte, shadow)[0], params.margin, FAINT)
        matte, shadow = Matte(_cut(matte.alpha, frame), _cut(matte.foreground, frame)), _cut(shadow, frame)
        where, deep = _cut(where, frame), None if deep is None else _cut(deep, frame)
    alpha, share = (matte.alpha, None) if shadow is None else _shadowed(matte, shadow)
    pixels = _in_shadow(matte.foreground, share)
    wide = None if deep is None else _in_shadow(deep, share)
    ground = bytes.fromhex(params.background.removeprefix("#"))
    if ground:
        pixels = _over(pixels, alpha, ground)
        wide = None if wide is None else _over_deep(wide, alpha, ground)
    return Outcome(
        pixels=pixels,
        alpha=None if ground else alpha,
        deep=wide,
        layers=_layers(matte, shadow, ground, deep) if layered else (),
        reference=Reference(pixels=matte.foreground, where=where, deep=deep),
        ai_made="enhanced" if shadow is None else "composite",
    )


def _layers(matte: Matte, shadow: Alpha | None, ground: bytes, deep: Deep | None) -> tuple[Layer, ...]:
    """What a retoucher gets: the colour if there is one, the shadow if there is one, the product."""
    product = matte.foreground if deep is None else deep
    black, colour = np.zeros_like(product), np.frombuffer(ground, np.uint8)
    layers = [Layer("background", black + (colour if deep is None else to_16_bits(colour)))] if ground else []
    if shadow is not None:
        layers.append(Layer("shadow", black, shadow, "multiply"))
    return (*layers, Layer("product", product, matte.alpha))


def _shadowed(matte: Matte, shadow: Alpha) -> tuple[Alpha, npt.NDArray[np.float32]]:
    """Alpha of the product over a black shadow, and the product's share of it, 0-1."""
    cover, dark = matte.alpha.astype(np.float32) / 255, shadow.astype(np.float32) / 255
    both = cover + (1 - cover) * dark
    share = np.where(matte.alpha == 255, np.float32(1), cover / np.maximum(both, 1e-6))
    return np.rint(both * 255).astype(np.uint8), share


def _in_shadow(colours: _Colours, share: npt.NDArray[np.float32] | None) -> _Colours:
    """Straight colours of the product mixed with a black shadow; exact where the share is 1."""
    return colours if share is None else np.rint(colours * share[..., None]).astype(colours.dtype)


def _centred(matte: Matte, params: RemoveBgParams, deep: Deep | None) -> tuple[Matte, Deep | None]:
    spot = Spot(height=params.fill, width=params.fill, x=0.5, y=0.5, anchor="center")
    placed = place(matte, params.width, params.height, spot, deep)
    if placed is None:
        raise NoProductFound("no product was found in the image")
    return Matte(placed.alpha, placed.foreground), placed.deep


def _over(pixels: npt.NDArray[np.uint8], alpha: Alpha, colour: bytes) -> npt.NDArray[np.uint8]:
    """Composited on one colour; exact where alpha is 0 or 255."""
    share = alpha[..., None].astype(np.uint16)
    ground = np.frombuffer(colour, dtype=np.uint8).astype(np.uint16)
    return ((pixels * share + ground * (255 - share) + 127) // 255).astype(np.uint8)


def _over_deep(pixels: Deep, alpha: Alpha, colour: bytes) -> Deep:
    """The same with 16 bits a channel."""
    return over_deep(pixels, alpha, np.asarray(np.frombuffer(colour, np.uint8) / 255, np.float32))


def _product_frame(alpha: Alpha, margin: float, faintest: int = 1) -> _Frame:
    """The product's bounding box with `margin` times its longer side of free space around it."""
    seen = alpha >= faintest
    rows, columns = np.flatnonzero(seen.any(axis=1)), np.flatnonzero(seen.any(axis=0))
    if not len(rows):
        raise NoProductFound("no product was found in the image")
    top, left = int(rows[0]), int(columns[0])
    height, width = int(rows[-1]) + 1 - top, int(columns[-1]) + 1 - left
    space = round(margin * max(width, height))
    return _Frame(left - space, top - space, width + 2 * space, height + 2 * space)


def _cut(planes: npt.NDArray[_Value], frame: _Frame) -> npt.NDArray[_Value]:
    """The part of (height, width, …) inside the frame; zero outside the source."""
    height, width = planes.shape[:2]
    out = np.zeros((frame.height, frame.width, *planes.shape[2:]), dtype=planes.dtype)
    top, left = max(frame.top, 0), max(frame.left, 0)
    bottom, right = min(frame.top + frame.height, height), min(frame.left + frame.width, width)
    out[top - frame.top : bottom - frame.top, left - frame.left : right - frame.left] = planes[top:bottom, left:right]
    return out
