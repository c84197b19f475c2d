"""A photo's surroundings, painted."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np

from pergai.engine.core import Desk, ExpandParams, Job, Outcome, Reference
from pergai.errors import NoProductFound
from pergai.imaging.decode import decode
from pergai.imaging.extension import plan_canvas, resample
from pergai.imaging.picture import Alpha
from pergai.runners.cutout import cut_out
from pergai.runners.diffusion import canvas
from pergai.runners.diffusion.options import MATTE, PAINTER, Options, manner, negative_prompt, phrases, prompt, settings
from pergai.runners.diffusion.paint import enlarge, is_enlarged, paint
from pergai.runners.diffusion.refine import refine
from pergai.runners.diffusion.request import Request
from pergai.runners.extend.runner import Extend, extension, touches_border

WORDLESS = "the same background continued, professional product photography"
"""What the model is told when the client says nothing."""


async def run(job: Job, desk: Desk, options: Options) -> Outcome:
    """Continue the background by extension, paint over the extension, join both to the source, whose pixels stay exact.

    Painted at the model's own size and enlarged where it is new, then painted over there, tile by tile, if the pipeline asks
    for it (`refine`). A source with transparency, or one that fills the
    canvas, needs no painting and goes the way of the runner `extend`. Notes: those of `extend`, `prompt_in_chunks:N`.
    """
    params = msgspec.convert(job.params, ExpandParams)
    source = await desk.cpu(decode, Path(job.source))
    plan = plan_canvas((source.height, source.width), (params.height, params.width))
    if plan.source == plan.canvas or (source.alpha is not None and source.alpha.min() < 255):
        return await Extend().run(job, desk)
    models, notes = desk.pipeline.models, list(source.notes)
    product: Alpha | None = None
    try:
        product = (await cut_out(job, desk, source, models[MATTE])).alpha
    except NoProductFound:
        notes.append("no_product_found")
    placed = source.pixels
    if plan.scaled:
        notes.append("source_scaled")
        placed = await desk.cpu(resample, placed, plan.source)
        product = None if product is None else await desk.cpu(resample, product, plan.source)
    if product is not None and touches_border(product, plan):
        notes.append("product_touches_border")
    start = await extension(desk, placed, product, plan, job.seed, (0.3, 0.4))

    size = canvas.paint_size(params.width, params.height, options.side)
    mask = canvas.border_mask(plan.canvas, plan.rows, plan.columns, size)
    request = Request(
        image=await desk.cpu(canvas.resized, start, size),
        mask=mask,
        prompt=prompt(options, params.prompt or WORDLESS),
        negative_prompt=negative_prompt(options),
        seed=job.seed,
        strength=options.strength,
        **manner(desk.pipeline, options),
    )
    refining = options.refine > 0 and is_enlarged(plan.canvas, size)
    painted = await paint(desk, request, 0.4, 0.55 if refining else 0.85)
    large, net = await enlarge(desk, painted.pixels, plan.canvas, mask > 0)
    desk.progress(0.58 if refining else 0.9, "composite")
    pixels = await desk.cpu(canvas.join, start, large, plan.rows, plan.columns)
    details = settings(options, request, painted)
    if refining:
        new = canvas.border_mask(plan.canvas, plan.rows, plan.columns, plan.canvas)
        refined, details["refined"] = await refine(desk, options, request, pixels, new, (0.6, 0.85))
        desk.progress(0.9, "composite")
        pixels = await desk.cpu(canvas.join, pixels, refined, plan.rows, plan.columns)
    loras = [lora for lora, _ in request.loras]
    where = np.zeros(plan.canvas, bool)
    where[plan.rows, plan.columns] = True
    top, left = plan.offset
    return Outcome(
        pixels=pixels,
        reference=Reference(pixels=start, where=where),
        model="+".join(name for name in (models[MATTE], *loras, models[PAINTER], net) if name),
        ai_made="algorithmic",
        notes=(*notes, *painted.notes),
        words=phrases(params.prompt),
        details={
            "placement": {"left": left, "top": top, "width": plan.source[1], "height": plan.source[0]},
            **details,
        },
    )
