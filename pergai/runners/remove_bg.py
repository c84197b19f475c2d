"""The remove-bg tool: the product alone, on nothing or on one colour."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

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

ROLE = "segment"
"""The role of the net in a pipeline card's `models`."""


@dataclass(frozen=True, slots=True)
class _Frame:
    """A window on the source in its own pixels; it may reach beyond the source, where everything is clear."""

    left: int
    top: int
    width: int
    height: int


class RemoveBg:
    """Runner `remove-bg`. Parameters: RemoveBgParams."""

    async def run(self, job: Job, desk: Desk) -> Outcome:
        """RGBA at the source's size; opaque with `background`; grey with `mask_only`; smaller or larger with `crop`; in
        a frame of its own with `width` and `height`.

        Raises UnreadableImage, TooLarge, NoProductFound, ModelUnavailable.
        """
        params = msgspec.convert(job.params, RemoveBgParams)
        model = desk.pipeline.models[ROLE]
        source = await desk.cpu(decode, Path(job.source))
        matte = await cut_out(job, desk, source, model)
        desk.progress(0.9, "compose")
        return await desk.cpu(compose, matte, params, model, source.notes)


def compose(matte: Matte, params: RemoveBgParams, model: str, notes: tuple[str, ...] = ()) -> Outcome:
    """What the parameters make of a matte."""
    alpha, pixels = matte.alpha, matte.foreground
    if params.width:
        alpha, pixels = _centred(matte, params)
    elif params.crop:
        frame = _product_frame(alpha, params.margin)
        alpha, pixels = _cut(alpha, frame), _cut(pixels, frame)
    if params.mask_only:
        return Outcome(pixels=np.dstack([alpha] * 3), grey=True, model=model, ai_made="enhanced", notes=notes)
    reference = Reference(pixels=pixels, where=ndimage.binary_erosion(alpha == 255, np.ones((3, 3), dtype=bool)))
    if params.background:
        solid = _over(pixels, alpha, bytes.fromhex(params.background.removeprefix("#")))
        return Outcome(pixels=solid, reference=reference, model=model, ai_made="enhanced", notes=notes)
    return Outcome(pixels=pixels, alpha=alpha, reference=reference, model=model, ai_made="enhanced", notes=notes)


def _centred(matte: Matte, params: RemoveBgParams) -> tuple[Alpha, RGB]:
    spot = Spot(height=params.fill, width=params.fill, x=0.5, y=0.5, anchor="center")
    placed = place(matte, params.width, params.height, spot)
    if placed is None:
        raise NoProductFound("no product was found in the image")
    return placed.alpha, placed.foreground


def _over(pixels: npt.NDArray[np.uint8], alpha: Alpha, colour: bytes) -> npt.NDArray[np.uint8]:
    """Composited on one colour; exact where alpha is 0 or 255."""
    share = alpha[..., None].astype(np.uint16)
    ground = np.frombuffer(colour, dtype=np.uint8).astype(np.uint16)
    return ((pixels * share + ground * (255 - share) + 127) // 255).astype(np.uint8)


def _product_frame(alpha: Alpha, margin: float) -> _Frame:
    """The product's bounding box with `margin` times its longer side of free space around it."""
    rows, columns = np.flatnonzero(alpha.any(axis=1)), np.flatnonzero(alpha.any(axis=0))
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
