"""From a job to the device and back: requests painted, and a picture brought to the result's size."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Sequence
from functools import partial

import numpy as np
import numpy.typing as npt

from pergai.engine.core import Desk
from pergai.errors import UnsafePicture
from pergai.imaging.picture import RGB
from pergai.imaging.tiles import Canvas, plan
from pergai.runners.diffusion.canvas import resized
from pergai.runners.diffusion.options import PAINTER, SAFETY, UPSCALE
from pergai.runners.diffusion.request import Painted, Request

BY_NET = 1.5
"""Pictures are enlarged by a net from this factor on, if the pipeline has one, and refined, if it says so."""
TILE, MARGIN, BLEND, SCALE = 256, 8, 8, 4
TELL_SECONDS = 0.1
"""Between two words about a job's progress at least."""


async def paint(desk: Desk, request: Request, begin: float, end: float) -> Painted:
    """As `paint_all`, for one request."""
    return (await paint_all(desk, [request], begin, end))[0]


async def paint_all(desk: Desk, requests: Sequence[Request], begin: float, end: float) -> list[Painted]:
    """Run requests through the pipeline's model, in shared batches where they can share them; the job's progress goes from
    `begin` to `end` meanwhile.

    Raises UnsafePicture when the pipeline's safety checker, if it has one, refuses what was painted.
    """
    loop = asyncio.get_running_loop()
    waiting, told_at, done = True, 0.0, [0.0] * len(requests)

    def show() -> None:
        if waiting:
            desk.progress(begin + (end - begin) * sum(done) / len(done), "diffuse")

    def report(index: int, fraction: float) -> None:
        nonlocal told_at
        done[index] = fraction
        if time.monotonic() - told_at < TELL_SECONDS:  # short steps are not to wait for who is told of them
            return
        told_at = time.monotonic()
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is left to be told
            loop.call_soon_threadsafe(show)

    async def run(index: int, request: Request) -> Painted:
        request.report, request.wanted = partial(report, index), lambda: waiting
        painted: Painted = await desk.device(
            desk.pipeline.models[PAINTER],
            request,
            shape=request.shape,
            setup=request.loras,
            turns=round(request.steps * request.strength) + 1,
        )
        checker = desk.pipeline.models.get(SAFETY)
        if checker and await desk.device(checker, painted.pixels, shape=painted.pixels.shape):
            raise UnsafePicture("the safety checker refused what was painted; change the words or the seed")
        return painted

    running = [asyncio.ensure_future(run(index, request)) for index, request in enumerate(requests)]
    try:
        return await asyncio.gather(*running)
    finally:
        waiting = False
        for one in running:  # when one fails, the picture does
            one.cancel()


def is_enlarged(size: tuple[int, int], painted: tuple[int, int]) -> bool:
    """Whether a picture of `size` (height, width) is so much larger than what was painted that it lacks detail."""
    return max(size[0] / painted[0], size[1] / painted[1]) >= BY_NET


async def enlarge(desk: Desk, pixels: RGB, size: tuple[int, int], needed: npt.NDArray[np.bool_]) -> tuple[RGB, str]:
    """A painted picture at `size` (height, width), and the id of the net that did it ("" for plain resampling).

    `needed`: (height, width) of `pixels`; tiles without any of it are only resampled, for what they show is replaced.
    """
    net = desk.pipeline.models.get(UPSCALE, "")
    if not net or not is_enlarged(size, pixels.shape[:2]):
        return await desk.cpu(resized, pixels, size), ""
    rim = ((MARGIN, MARGIN), (MARGIN, MARGIN))
    padded, wanted = np.pad(pixels, (*rim, (0, 0)), mode="symmetric"), np.pad(needed, rim)
    grid = plan(padded.shape[0], padded.shape[1], TILE, margin=MARGIN, blend=BLEND)
    canvas = Canvas(grid, SCALE)

    async def tile(top: int, left: int) -> RGB:
        window = np.s_[top : top + grid.height, left : left + grid.width]
        piece: RGB = np.ascontiguousarray(padded[window])
        if wanted[window].any():
            large: RGB = await desk.device(net, piece, shape=piece.shape)
            return large
        return await desk.cpu(resized, piece, (grid.height * SCALE, grid.width * SCALE))

    for index, top in enumerate(grid.tops):
        await desk.cpu(canvas.write, index, await asyncio.gather(*(tile(top, left) for left in grid.lefts)))
    edge = MARGIN * SCALE
    return await desk.cpu(resized, canvas.pixels[edge:-edge, edge:-edge], size), net
