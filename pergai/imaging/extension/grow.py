"""Extension: a source on a larger canvas, its background continued."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from pergai.imaging.extension.grain import like_grain, to_bytes
from pergai.imaging.extension.ground import Ground, Plane
from pergai.imaging.extension.lines import Line, find_lines
from pergai.imaging.extension.marks import apart
from pergai.imaging.extension.membrane import survey
from pergai.imaging.extension.picker import Bank, Detail, Mask, Strip, block_positions, overlap_of
from pergai.imaging.extension.plan import Plan, Side, turn
from pergai.imaging.extension.seam import join, lead_over
from pergai.imaging.extension.texture import lay, quilt, softness
from pergai.imaging.extension.things import find_things
from pergai.imaging.picture import RGB, Alpha

SIDES: tuple[Side, ...] = ("left", "right", "top", "bottom")

SMALL = 1_200_000
"""Pixels at which blocks are chosen; larger canvases use a small copy."""
FEWEST, VARIETY = 40, 3
"""Places a block must be found at, or smaller blocks are tried: a small one, and a large one in times its own area."""


def extend(source: RGB, product: Alpha | None, size: tuple[int, int], offset: tuple[int, int], seed: int) -> RGB:
    """Continue a picture's background over a larger canvas: all the work of an Extension at once."""
    work = Extension(source, product, size, offset, seed)
    for side in work.sides:
        work.grow(side)
    return work.picture()


def background_mask(product: Alpha | None, shape: tuple[int, int]) -> Mask:
    """Where a source shows background: away from the product and from the soft edge of its matte."""
    if product is None:
        return np.ones(shape, dtype=bool)
    margin = max(2, round(0.006 * max(shape)))
    soft = ndimage.maximum_filter(product, size=2 * margin + 1)
    return np.asarray(soft < 24)


class Extension:
    """A canvas that grows side by side; the work may be given up between any two calls.

    `source`: (h, w, 3), kept exactly; `product`: (h, w), its matte, or None when everything is background; `size`:
    (height, width) of the canvas; `offset`: (top, left) of the source on it. The same arguments give the same
    picture. Raises ValueError when the source does not lie within the canvas.
    """

    def __init__(
        self, source: RGB, product: Alpha | None, size: tuple[int, int], offset: tuple[int, int], seed: int
    ) -> None:
        self._plan = plan = Plan(canvas=size, source=(source.shape[0], source.shape[1]), offset=offset, scaled=False)
        if min(offset) < 0 or plan.rows.stop > size[0] or plan.columns.stop > size[1]:
            raise ValueError(f"a source of {plan.source} at {offset} does not lie within a canvas of {size}")
        space = (plan.offset[1], size[1] - plan.columns.stop, plan.offset[0], size[0] - plan.rows.stop)
        self._depth: dict[Side, int] = {side: depth for side, depth in zip(SIDES, space, strict=True) if depth}
        self._source, self._rng = source, np.random.default_rng(seed)
        self._zoom = max(1, int(np.ceil(np.sqrt(size[0] * size[1] / SMALL))))
        self._background = background_mask(product, plan.source)
        self._things = find_things(source, self._background)
        self._background &= ~self._things
        self._survey = survey(source.astype(np.float32), self._background, plan)
        self._lines = {side: self._find(side) for side in SIDES} if self._depth else {}
        self._uses = np.zeros([-(-length // self._zoom) for length in plan.source], dtype=np.float32)
        self._pixels = np.zeros((*size, 3), dtype=np.float32)
        self._pixels[plan.rows, plan.columns] = source
        self._known = np.zeros(size, dtype=bool)
        self._known[plan.rows, plan.columns] = self._background
        self._shown = self._known.copy()
        self._shown[plan.rows, plan.columns] |= self._things

    @property
    def sides(self) -> Sequence[Side]:
        """The sides to grow, in this order."""
        return tuple(self._depth)

    def _find(self, side: Side) -> list[Line]:
        return find_lines(turn(self._survey.pixels, side), turn(self._background, side))

    def grow(self, side: Side) -> None:
        """Fill one side."""
        depth = self._depth[side]
        ground = Ground(self._survey, self._background, self._lines, side)
        pixels, known, shown = (turn(plane[ground.rows], side) for plane in (self._pixels, self._known, self._shown))
        along, before = pixels.shape[0], pixels.shape[1] - depth
        seen = known[:, :before], shown[:, :before]
        detail = self._synthesised(ground, pixels[:, :before], *seen, depth, turn(self._uses, side))
        for top in range(0, along, 256):
            rows = slice(top, min(top + 256, along))
            light = ground.light(rows, 0, depth)
            pixels[rows, before:] = light + detail[rows] * self._survey.contrast(light)
        known[:, before:] = shown[:, before:] = True

    def _synthesised(self, ground: Ground, inner: Detail, known: Mask, shown: Mask, depth: int, uses: Plane) -> Detail:
        """The detail of one side, (along, depth, 3)."""
        zoom, whole = self._zoom, slice(0, inner.shape[0])
        background = ground.usable
        bank = Bank(
            detail=_shrink(ground.detail, zoom),
            light=self._survey.tint(ground.inner_light(zoom)),
            usable=_shrink_mask(background, zoom),
            home=ground.inner_home(zoom),
            uses=uses,
        )
        block = self._block(bank)
        if not block:
            return like_grain(ground.detail, background, (whole.stop, depth), self._rng)
        overlap = min(overlap_of(block), inner.shape[1] // zoom)
        rim, edge = overlap * zoom, min(block * zoom, inner.shape[1] - 1, depth) + 1
        wide = max(rim, edge)
        border = inner[:, -wide:] - (light := ground.light(whole, -wide, 0))
        border /= self._survey.contrast(light)
        strip = Strip(
            border=_shrink(border[:, -rim:], zoom),
            known=_shrink_mask(known[:, -rim:], zoom),
            light=self._survey.tint(ground.light(whole, -rim, depth, zoom)),
            home=ground.home(whole, -rim, depth, zoom),
            lines=np.array([line.at / zoom for line in ground.layers.lines], dtype=np.float32),
            lead=ground.origin // zoom,
            keep_rows=ground.upright,
        )
        copies = quilt(bank, strip, block, self._rng)
        laid = lay(copies, ground.detail, (whole.stop, rim + depth), zoom)
        fit = shown[:, -edge:] & ~apart(border[:, -edge:], known[:, -edge:], block * zoom)
        things = shown[:, -edge:] & ~known[:, -edge:]
        led = lead_over(laid[:, rim:], border[:, -edge:], fit, things, softness(bank) * zoom)
        last = min(3, rim)
        seen = known[:, -last:]
        gap = (border[:, -last:] - laid[:, rim - last : rim]) * seen[..., None]
        difference = (1.0 - led)[:, None] * gap.sum(axis=1) / np.maximum(seen.sum(axis=1), 1)[:, None]
        laid = laid[:, rim:]
        laid += join(difference, np.asarray(seen.any(axis=1)), depth, block * zoom)
        return laid

    @staticmethod
    def _block(bank: Bank) -> int:
        """The largest block the background has enough of; 0 when there is none."""
        block = int(np.clip(0.14 * min(bank.usable.shape), 12, 96))
        while block >= 8:
            if len(block_positions(bank.usable, block)) >= (VARIETY * block * block if block > 24 else FEWEST):
                return block
            block = int(block * 0.75)
        return 0

    def picture(self) -> RGB:
        """The canvas in whole levels, 256 rows at a time, with the source's own pixels on top."""
        plan = self._plan
        out = np.empty((*plan.canvas, 3), dtype=np.uint8)
        for top in range(0, plan.canvas[0], 256):
            rows = slice(top, min(top + 256, plan.canvas[0]))
            out[rows] = to_bytes(self._pixels[rows], self._rng)
        out[plan.rows, plan.columns] = self._source
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
