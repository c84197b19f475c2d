"""The remove-bg tool: the product alone, on nothing or on one colour."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np
import numpy.typing as npt
from scipy import ndimage

from pergai.engine.core import Desk, Job, Outcome, Reference, RemoveBgParams
from pergai.errors import NoProductFound
from pergai.imaging.decode import decode
from pergai.imaging.picture import RGB, Alpha, Matte
from pergai.imaging.placement import Spot, place
from pergai.runners.cutout import cut_out
from pergai.runners.render import contact
from pergai.runners.render.spec import check

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
        source = await desk.cpu(decode, Path(job.source))
        matte = await desk.cpu(_framed, await cut_out(job, desk, source, models["segment"]), params)
        shadow, used = None, [models["segment"]]
        if params.shadow != "none":
            shadow = await self._shadow(job, desk, matte, params.shadow)
            used.append(models["engine"])
        desk.progress(0.9, "compose")
        outcome = await desk.cpu(_composed, matte, shadow, params)
        return replace(outcome, model="+".join(used), notes=source.notes)

    async def _shadow(self, job: Job, desk: Desk, matte: Matte, shadow: Literal["soft", "hard"]) -> Alpha:
        photo_set = check(desk.scene(contact.SET))
        planned = await desk.cpu(lambda: contact.plan(photo_set, matte, shadow, seed=job.seed, cache=desk.cache))
        desk.progress(0.45, "shadow")
        return await desk.cpu(contact.cast, planned, await desk.device(desk.pipeline.models["engine"], planned.take))


def _framed(matte: Matte, params: RemoveBgParams) -> Matte:
    """The matte on the canvas its result will have, but for what a shadow may need less."""
    if params.width:
        return _centred(matte, params)
    if params.crop:
        room = SHADOW_ROOM if params.shadow != "none" else 0.0
        frame = _product_frame(matte.alpha, max(params.margin, room))
        return Matte(_cut(matte.alpha, frame), _cut(matte.foreground, frame))
    return matte


def _composed(matte: Matte, shadow: Alpha | None, params: RemoveBgParams) -> Outcome:
    """What the parameters make of a matte."""
    alpha, pixels, product = matte.alpha, matte.foreground, matte.foreground
    where = ndimage.binary_erosion(alpha == 255, np.ones((3, 3), dtype=bool))
    if params.mask_only:
        return Outcome(pixels=np.dstack([alpha] * 3), grey=True, ai_made="enhanced")
    if shadow is not None:
        alpha, pixels = _shadowed(matte, shadow)
        if params.crop:
            frame = _product_frame(alpha, params.margin, FAINT)
            alpha, pixels, product = _cut(alpha, frame), _cut(pixels, frame), _cut(product, frame)
            where = _cut(where.astype(np.uint8), frame) > 0
    if params.background:
        pixels = _over(pixels, alpha, bytes.fromhex(params.background.removeprefix("#")))
    return Outcome(
        pixels=pixels,
        alpha=None if params.background else alpha,
        reference=Reference(pixels=product, where=where),
        ai_made="enhanced" if shadow is None else "composite",
    )


def _shadowed(matte: Matte, shadow: Alpha) -> tuple[Alpha, RGB]:
    """The product over a black shadow, with straight alpha; exact where the product is solid."""
    cover, dark = matte.alpha.astype(np.float32) / 255, shadow.astype(np.float32) / 255
    both = cover + (1 - cover) * dark
    share = np.where(matte.alpha == 255, 1.0, cover / np.maximum(both, 1e-6))[..., None]
    return np.rint(both * 255).astype(np.uint8), np.rint(matte.foreground * share).astype(np.uint8)


def _centred(matte: Matte, params: RemoveBgParams) -> Matte:
    spot = Spot(height=params.fill, width=params.fill, x=0.5, y=0.5, anchor="center")
    placed = place(matte, params.width, params.height, spot)
    if placed is None:
        raise NoProductFound("no product was found in the image")
    return Matte(placed.alpha, placed.foreground)


def _over(pixels: npt.NDArray[np.uint8], alpha: Alpha, colour: bytes) -> npt.NDArray[np.uint8]:
    """Composited on one colour; exact where alpha is 0 or 255."""
    share = alpha[..., None].astype(np.uint16)
    ground = np.frombuffer(colour, dtype=np.uint8).astype(np.uint16)
    return ((pixels * share + ground * (255 - share) + 127) // 255).astype(np.uint8)


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


def _cut(planes: npt.NDArray[np.uint8], frame: _Frame) -> npt.NDArray[np.uint8]:
    """The part of (height, width, …) inside the frame; zero outside the source."""
    height, width = planes.shape[:2]
    out = np.zeros((frame.height, frame.width, *planes.shape[2:]), dtype=np.uint8)
    top, left = max(frame.top, 0), max(frame.left, 0)
    bottom, right = min(frame.top + frame.height, height), min(frame.left + frame.width, width)
    out[top - frame.top : bottom - frame.top, left - frame.left : right - frame.left] = planes[top:bottom, left:right]
    return out
