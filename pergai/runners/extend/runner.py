"""The expand tool by extension: the photo's own background, continued."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt

from pergai.engine.core import Desk, ExpandParams, Job, Outcome, Reference
from pergai.errors import NoProductFound
from pergai.imaging.decode import decode
from pergai.imaging.extension import Extension, Plan, plan_canvas, resample, resample_cut_out
from pergai.imaging.picture import RGB, Alpha, Picture
from pergai.runners.cutout import cut_out

ROLE = "matte"
"""The role of the segmentation net in a pipeline card's `models`."""


class Extend:
    """Runner `extend`. Parameters: ExpandParams.

    A source that fits on the canvas keeps its own pixels, centred; a larger one is shrunk once to fit. A source with
    transparency gets more transparency around it.
    """

    async def run(self, job: Job, desk: Desk) -> Outcome:
        """The source, exact, on a canvas of the size asked for.

        Notes: `prompt_not_used`, `source_scaled`, `transparent_background_kept`, `no_product_found`,
        `product_touches_border`. Raises UnreadableImage, ModelUnavailable.
        """
        params = msgspec.convert(job.params, ExpandParams)
        source = await desk.cpu(decode, Path(job.source))
        plan = plan_canvas((source.height, source.width), (params.height, params.width))
        notes = list(source.notes)
        if params.prompt.strip():
            notes.append("prompt_not_used")
        if plan.scaled:
            notes.append("source_scaled")
        if source.alpha is not None and source.alpha.min() < 255:
            notes.append("transparent_background_kept")
            desk.progress(0.5, "extend")
            return await desk.cpu(_pad, source.pixels, source.alpha, plan, tuple(notes))

        model = desk.pipeline.models[ROLE]
        product: Alpha | None = None
        if plan.source != plan.canvas:
            product = await self._product(job, desk, source, model, notes)
        placed = source.pixels
        if plan.scaled:
            placed = await desk.cpu(resample, placed, plan.source)
            product = None if product is None else await desk.cpu(resample, product, plan.source)
        if product is not None and touches_border(product, plan):
            notes.append("product_touches_border")
        return Outcome(
            pixels=await extension(desk, placed, product, plan, job.seed, (0.4, 0.9)),
            reference=_reference(placed, plan, np.ones(plan.source, dtype=bool)),
            model="" if plan.source == plan.canvas else model,
            notes=tuple(notes),
            details=_details(plan),
        )

    @staticmethod
    async def _product(job: Job, desk: Desk, source: Picture, model: str, notes: list[str]) -> Alpha | None:
        """The product's matte; None, with a note, when the whole picture is background."""
        try:
            return (await cut_out(job, desk, source, model)).alpha
        except NoProductFound:
            notes.append("no_product_found")
            return None


async def extension(
    desk: Desk, placed: RGB, product: Alpha | None, plan: Plan, seed: int, share: tuple[float, float]
) -> RGB:
    """The placed source on its canvas, a side at a time, so that the job can be cancelled in between. `share`: from which
    to which fraction of the job that is."""
    start, end = share
    desk.progress(start, "extend")
    work = await desk.cpu(Extension, placed, product, plan.canvas, plan.offset, seed)
    for number, side in enumerate(work.sides, 1):
        await desk.cpu(work.grow, side)
        desk.progress(start + (end - start) * number / len(work.sides), "extend")
    return await desk.cpu(work.picture)


def touches_border(product: Alpha, plan: Plan) -> bool:
    """Whether the product is cut off by a side of the source that is to be extended."""
    solid = product > 127
    below, right = plan.canvas[0] - plan.rows.stop, plan.canvas[1] - plan.columns.stop
    free = (plan.offset[0], below, plan.offset[1], right)
    edges = (solid[0], solid[-1], solid[:, 0], solid[:, -1])
    return any(space > 0 and bool(edge.any()) for space, edge in zip(free, edges, strict=True))


def _pad(pixels: RGB, alpha: Alpha, plan: Plan, notes: tuple[str, ...]) -> Outcome:
    """A source with transparency on a clear canvas."""
    if plan.scaled:
        pixels, alpha = resample_cut_out(pixels, alpha, plan.source)
    canvas = np.zeros((*plan.canvas, 3), dtype=np.uint8)
    canvas[plan.rows, plan.columns] = pixels
    cover = np.zeros(plan.canvas, dtype=np.uint8)
    cover[plan.rows, plan.columns] = alpha
    return Outcome(
        pixels=canvas,
        alpha=cover,
        reference=_reference(pixels, plan, alpha == 255),
        notes=notes,
        details=_details(plan),
    )


def _reference(placed: RGB, plan: Plan, solid: npt.NDArray[np.bool_]) -> Reference:
    pixels = np.zeros((*plan.canvas, 3), dtype=np.uint8)
    pixels[plan.rows, plan.columns] = placed
    where = np.zeros(plan.canvas, dtype=bool)
    where[plan.rows, plan.columns] = solid
    return Reference(pixels=pixels, where=where)


def _details(plan: Plan) -> dict[str, dict[str, int]]:
    top, left = plan.offset
    return {"placement": {"left": left, "top": top, "width": plan.source[1], "height": plan.source[0]}}
