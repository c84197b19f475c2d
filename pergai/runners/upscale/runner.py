"""The upscale tool: 1x restores at the same size, 2x and 4x enlarge.

The net always sees the source at its full size and its ×4 is reduced to the scale asked for: shrinking the source first
would be four times faster, but lettering and fine lines do not survive it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np

from pergai.engine.core import Desk, Job, Outcome, UpscaleParams
from pergai.errors import JobError
from pergai.imaging.picture import RGB, Alpha
from pergai.imaging.tiles import Canvas, Grid, plan
from pergai.runners.upscale import finish
from pergai.runners.upscale.preprocess import prepare

ROLE = "upscale"
"""The role of the net in a pipeline card's `models`."""
LARGE = "large"
"""The role of the faster net that takes sources above `options.large_megapixels`."""
IN_FLIGHT = 4
"""Tiles of one job at the device at once: enough for a batch, few enough that others get their turn."""


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`options` of an upscale pipeline card."""

    tile: int = 256
    """Longest side of a tile, in source pixels. It bounds the memory of one call and how long a cancel waits."""
    margin: int = 12
    """Source pixels at a tile's rim that are thrown away: about how far the net looks."""
    blend: int = 8
    """Source pixels over which tiles cross-fade."""
    strength: float = 1.0
    """Share of the net's picture; the rest is the plainly enlarged source, which keeps its grain. 0-1."""
    large_megapixels: float = 0.0
    """Sources above this go through the `large` model; 0: none do."""


class Upscale:
    """Runner `upscale`. Parameters: UpscaleParams. Options: `Options`."""

    async def run(self, job: Job, desk: Desk) -> Outcome:
        """RGB (and alpha) at `scale` times the source's size.

        Raises UnreadableImage, TooLarge, ModelUnavailable; JobError when the result is larger than the pipeline allows.
        """
        params = msgspec.convert(job.params, UpscaleParams)
        options = msgspec.convert(desk.pipeline.options, Options)
        desk.progress(0.0, "decode")
        source = await desk.cpu(prepare, Path(job.source), params.width, params.height, params.use_sharp)
        self._require_size(source.width * params.scale, source.height * params.scale, desk)

        model, notes = self._model(source.width * source.height, options, desk)
        pixels, alpha = source.pixels, source.alpha
        by_net = alpha is not None and finish.is_crisp(alpha)
        work = _Work(desk=desk, model=model, scale=params.scale, options=options, passes=2 if by_net else 1)
        if alpha is not None:
            pixels = await desk.cpu(finish.without_fringe, pixels, alpha)
        result = await work.enlarge(pixels, options.strength)
        result = await desk.cpu(finish.match_colour, result, pixels)
        large_alpha: Alpha | None = None
        if alpha is not None and by_net:
            grey = await work.enlarge(np.dstack([alpha] * 3), 1.0)
            large_alpha = await desk.cpu(finish.net_alpha, grey, alpha, params.scale)
        elif alpha is not None:
            large_alpha = await desk.cpu(finish.plain_alpha, alpha, params.scale)
        return Outcome(
            pixels=result,
            alpha=large_alpha,
            model=model,
            ai_made="enhanced",
            notes=(*source.notes, *notes),
            details={"scale": params.scale, "tiles": work.done},
        )

    @staticmethod
    def _require_size(width: int, height: int, desk: Desk) -> None:
        limit = desk.pipeline.max_megapixels
        if width * height > limit * 1e6:
            raise JobError(
                f"the result would be {width}×{height} = {width * height / 1e6:.1f} megapixels; "
                f"{desk.pipeline.id} makes at most {limit:g}"
            )

    @staticmethod
    def _model(pixels: int, options: Options, desk: Desk) -> tuple[str, tuple[str, ...]]:
        models = desk.pipeline.models
        if options.large_megapixels and LARGE in models and pixels > options.large_megapixels * 1e6:
            return models[LARGE], ("faster_model_for_large_source",)
        return models[ROLE], ()


@dataclass(slots=True, kw_only=True)
class _Work:
    """The passes of one job through the net, tile by tile."""

    desk: Desk
    model: str
    scale: int
    options: Options
    passes: int
    """How many pictures are enlarged in all: the colours, and alpha where the net draws it."""
    done: int = 0
    """Tiles so far."""

    async def enlarge(self, pixels: RGB, strength: float) -> RGB:
        """`pixels` at `scale` times their size."""
        rim = self.options.margin
        # The picture mirrored beyond its border: the nets draw a faint frame where they see nothing.
        padded = np.pad(pixels, ((rim, rim), (rim, rim), (0, 0)), mode="symmetric")
        height, width = padded.shape[:2]
        grid = plan(height, width, self.options.tile, margin=rim, blend=self.options.blend)
        canvas = Canvas(grid, self.scale)
        gate = asyncio.Semaphore(IN_FLIGHT)

        async def one(tile: RGB) -> RGB:
            async with gate:
                tile = np.ascontiguousarray(tile)
                enlarged = await self.desk.device(self.model, tile, shape=tile.shape)
                self._advance(grid)
                return await self.desk.cpu(finish.sized, tile, enlarged, self.scale, strength)

        for index in range(len(grid.tops)):
            await self.desk.cpu(canvas.write, index, await _together(one, grid.row(padded, index)))
        cut = slice(rim * self.scale, -rim * self.scale)
        return np.ascontiguousarray(canvas.pixels[cut, cut])

    def _advance(self, grid: Grid) -> None:
        self.done += 1
        self.desk.progress(0.05 + 0.85 * self.done / (self.passes * grid.count), "upscale")


async def _together(work: Callable[[RGB], Awaitable[RGB]], tiles: Iterable[RGB]) -> list[RGB]:
    """All tiles at once, in order. When one fails or the job is cancelled, the others are called off."""
    tasks = [asyncio.ensure_future(work(tile)) for tile in tiles]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
