"""Extension: a source on a larger canvas, its background continued."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from pergai.imaging.extension.grain import like_grain, to_bytes
from pergai.imaging.extension.membrane import Light, continue_light
from pergai.imaging.extension.plan import Plan, Side
from pergai.imaging.extension.seam import join
from pergai.imaging.extension.texture import Bank, Detail, Mask, Strip, block_positions, lay, overlap_of, quilt
from pergai.imaging.picture import RGB, Alpha

T = TypeVar("T", bound=np.generic)
SIDES: tuple[Side, ...] = ("left", "right", "top", "bottom")

SMALL = 1_200_000
"""Pixels at which blocks are chosen; larger canvases use a small copy."""
FEWEST = 40
"""Places a block must be found at, or smaller blocks are tried."""


def extend(source: RGB, product: Alpha | None, size: tuple[int, int], offset: tuple[int, int], seed: int) -> RGB:
    """Continue a picture's background over a larger canvas.

    `source`: (h, w, 3), kept exactly; `product`: (h, w), its matte, or None when everything is background; `size`:
    (height, width) of the canvas; `offset`: (top, left) of the source on it. The same arguments give the same
    picture. Raises ValueError when the source does not
    lie within the canvas.
    """
    plan = Plan(canvas=size, source=(source.shape[0], source.shape[1]), offset=offset, scaled=False)
    if min(offset) < 0 or plan.rows.stop > size[0] or plan.columns.stop > size[1]:
        raise ValueError(f"a source of {plan.source} at {offset} does not lie within a canvas of {size}")
    if plan.canvas == plan.source:
        return source.copy()
    background = background_mask(product, plan.source)
    light = continue_light(source.astype(np.float32), background, plan)
    canvas = _Canvas(source, background, plan, light, seed)
    for side in SIDES:
        canvas.grow(side)
    return canvas.picture()


def background_mask(product: Alpha | None, shape: tuple[int, int]) -> Mask:
    """Where a source shows background: away from the product and from the soft edge of its matte."""
    if product is None:
        return np.ones(shape, dtype=bool)
    margin = max(2, round(0.006 * max(shape)))
    soft = ndimage.maximum_filter(product, size=2 * margin + 1)
    return np.asarray(soft < 24)


def _turn(plane: npt.NDArray[T], side: Side) -> npt.NDArray[T]:
    """A view of a plane with axis 0 along the border of this side and axis 1 away from the source."""
    match side:
        case "right":
            return plane
        case "left":
            return plane[:, ::-1]
        case "bottom":
            return plane.swapaxes(0, 1)
        case "top":
            return plane[::-1].swapaxes(0, 1)


class _Canvas:
    """The detail of a canvas, side by side; light is added at the end."""

    def __init__(self, source: RGB, background: Mask, plan: Plan, light: Light, seed: int) -> None:
        self.source, self.background, self.plan, self.light = source, background, plan, light
        self.rng = np.random.default_rng(seed)
        self.source_light = light.window(plan.rows, plan.columns)
        self.source_detail = source.astype(np.float32) - self.source_light
        self.detail = np.zeros((*plan.canvas, 3), dtype=np.float32)
        self.detail[plan.rows, plan.columns] = self.source_detail
        self.known = np.zeros(plan.canvas, dtype=bool)
        self.known[plan.rows, plan.columns] = background
        self.zoom = max(1, int(np.ceil(np.sqrt(plan.canvas[0] * plan.canvas[1] / SMALL))))

    def grow(self, side: Side) -> None:
        """Fill one side: left and right at the source's own height, top and bottom over the whole width."""
        plan, zoom = self.plan, self.zoom
        height, width = plan.canvas
        depth = {
            "left": plan.offset[1],
            "right": width - plan.columns.stop,
            "top": plan.offset[0],
            "bottom": height - plan.rows.stop,
        }[side]
        if depth == 0:
            return
        upright = side in {"left", "right"}
        rows = plan.rows if upright else slice(0, height)
        turned, known = _turn(self.detail[rows], side), _turn(self.known[rows], side)
        along, before = turned.shape[0], turned.shape[1] - depth
        bank = _turn(self.source_detail, side)
        small = Bank(
            detail=_shrink(bank, zoom),
            light=_shrink(_turn(self.source_light, side), zoom),
            usable=_shrink_mask(_turn(self.background, side), zoom),
        )
        block = self._block(small)
        if not block:
            turned[:, before:] = like_grain(self.source_detail, self.background, (along, depth), self.rng)
            known[:, before:] = True
            return
        overlap = min(overlap_of(block), before // zoom)
        inside = slice(before - overlap * zoom, before)
        reach = overlap * zoom + depth
        end = width if upright else height
        span = slice(0, reach) if side in {"left", "top"} else slice(end - reach, end)
        window = (rows, span) if upright else (span, slice(0, width))
        strip = Strip(
            border=_shrink(turned[:, inside], zoom),
            known=_shrink_mask(known[:, inside], zoom),
            light=_turn(self.light.window(window[0], window[1], zoom), side),
            origin=0 if upright else plan.offset[1] // zoom,
            keep_rows=upright,
        )
        copies = quilt(small, strip, block, self.rng)
        laid = lay(copies, bank, (along, reach), zoom)
        rim = min(3, overlap * zoom)
        seen = known[:, before - rim : before]
        gap = (turned[:, before - rim : before] - laid[:, overlap * zoom - rim : overlap * zoom]) * seen[..., None]
        difference = gap.sum(axis=1) / np.maximum(seen.sum(axis=1), 1)[:, None]
        laid = laid[:, overlap * zoom :]
        laid += join(difference, np.asarray(seen.any(axis=1)), depth, block * zoom)
        turned[:, before:] = laid
        known[:, before:] = True

    def _block(self, small: Bank) -> int:
        """The largest block the background has enough of; 0 when there is none."""
        block = int(np.clip(0.14 * min(small.usable.shape), 12, 96))
        while block >= 8:
            if len(block_positions(small.usable, block)) >= FEWEST:
                return block
            block = int(block * 0.75)
        return 0

    def picture(self) -> RGB:
        """Light and detail together, 256 rows at a time, with the source's own pixels on top."""
        plan = self.plan
        out = np.empty((*plan.canvas, 3), dtype=np.uint8)
        for top in range(0, plan.canvas[0], 256):
            rows = slice(top, min(top + 256, plan.canvas[0]))
            out[rows] = to_bytes(self.light.window(rows, slice(0, plan.canvas[1])) + self.detail[rows], self.rng)
        out[plan.rows, plan.columns] = self.source
        return out


def _shrink(plane: Detail, zoom: int) -> Detail:
    """Means of zoom × zoom pixels of (along, away, 3)."""
    if zoom == 1:
        return plane
    along, away, _ = plane.shape
    padded = np.pad(plane, ((0, -along % zoom), (0, -away % zoom), (0, 0)), mode="edge")
    blocks = padded.reshape(padded.shape[0] // zoom, zoom, padded.shape[1] // zoom, zoom, 3)
    return np.asarray(blocks.mean(axis=(1, 3)), dtype=np.float32)


def _shrink_mask(mask: Mask, zoom: int) -> Mask:
    """True where all of zoom × zoom pixels are; what sticks out of the picture is not."""
    if zoom == 1:
        return mask
    along, away = mask.shape
    padded = np.pad(mask, ((0, -along % zoom), (0, -away % zoom)))
    blocks = padded.reshape(padded.shape[0] // zoom, zoom, padded.shape[1] // zoom, zoom)
    return np.asarray(blocks.all(axis=(1, 3)))
