"""A product in a painted scene."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from pergai.engine.core import Desk, Job, Outcome, Reference, SceneParams
from pergai.errors import NoProductFound
from pergai.imaging.composite import inside
from pergai.imaging.decode import decode
from pergai.imaging.picture import RGB, Matte, Picture
from pergai.imaging.placement import Placed, place
from pergai.runners.cutout import cut_out
from pergai.runners.diffusion import canvas
from pergai.runners.diffusion.options import MATTE, PAINTER, SET, Options, negative_prompt, phrases, prompt, settings
from pergai.runners.diffusion.paint import enlarge, paint
from pergai.runners.diffusion.request import Request
from pergai.runners.render import shoot, vocabulary
from pergai.runners.render.camera import DecidedView, photographed_pitch
from pergai.runners.render.model import Light
from pergai.runners.render.spec import check


@dataclass(frozen=True, slots=True)
class _Ground:
    """Where the product stands, and what is behind it before anything is painted."""

    placed: Placed
    view: DecidedView
    start: RGB | None
    details: dict[str, Any]


async def run(job: Job, desk: Desk, options: Options) -> Outcome:
    """Cut out, place, paint the surroundings, put the product's own pixels on top.

    Notes: the source's, `prompt_in_chunks:N`, `shadow_predicted`, `product_enlarged`. Raises NoProductFound, JobError.
    """
    params = msgspec.convert(job.params, SceneParams)
    scene, models = desk.scene(params.scene), desk.pipeline.models
    source = await desk.cpu(decode, Path(job.source))
    matte = await cut_out(job, desk, source, models[MATTE])
    ground = await _ground(job, desk, params, options, source, matte)
    desk.progress(0.4, "diffuse")
    size = canvas.paint_size(params.width, params.height, options.side)
    picture, mask = await desk.cpu(canvas.stage, ground.placed, ground.start, size)
    request = Request(
        image=picture,
        mask=mask,
        prompt=prompt(options, params.prompt, scene.prompt),
        negative_prompt=negative_prompt(options, params.negative_prompt, scene.negative_prompt),
        seed=job.seed,
        steps=options.steps,
        guidance=options.guidance,
        strength=options.strength if ground.start is not None else 1.0,
        scheduler=options.scheduler,
    )
    painted = await paint(desk, request, 0.4, 0.85)
    large, net = await enlarge(desk, painted.pixels, (params.height, params.width), mask > 0)
    desk.progress(0.9, "composite")
    shadow = "none" if ground.start is not None else params.shadow
    blur = -(-params.height // size[0])
    pixels = await desk.cpu(canvas.develop, large, ground.placed, shadow, ground.view, blur)
    notes = [*source.notes, *painted.notes]
    if shadow != "none":
        notes.append("shadow_predicted")
    if ground.placed.scale > 1.5:
        notes.append("product_enlarged")
    used = (models[MATTE], models[SET] if ground.start is not None else "", models[PAINTER], net)
    return Outcome(
        pixels=pixels,
        reference=Reference(pixels=ground.placed.foreground, where=inside(ground.placed.alpha)),
        model="+".join(name for name in used if name),
        ai_made="algorithmic",
        notes=tuple(notes),
        words=phrases(params.prompt),
        details={**ground.details, **settings(options, request)},
    )


async def _ground(
    job: Job, desk: Desk, params: SceneParams, options: Options, source: Picture, matte: Matte
) -> _Ground:
    photo_set = check(desk.scene(params.scene))
    if options.start == "set":
        adjusted = vocabulary.adjust(photo_set, params.prompt, params.negative_prompt)
        planned = await desk.cpu(
            lambda: shoot.plan(
                adjusted.photo_set,
                params,
                source,
                matte,
                seed=job.seed,
                cache=desk.cache,
                samples=options.samples,
                light_pixels=options.side,
            )
        )
        desk.progress(0.35, "light")
        light: Light = await desk.device(desk.pipeline.models[SET], planned.take)
        rendered = await desk.cpu(shoot.finish, planned, light)
        return _Ground(planned.placed, planned.view, rendered.pixels, dict(rendered.details))
    view, _, by = shoot.decide_view(params.view, photo_set, photographed_pitch(matte.alpha))
    placed = await desk.cpu(place, matte, params.width, params.height, shoot.spot(params, photo_set, view))
    if placed is None or not (placed.alpha >= 128).any():
        raise NoProductFound("the cut-out is empty: no product was found in the image, or it lies outside the picture")
    box = placed.box
    details = {
        "view": view,
        "viewDecidedBy": by,
        "placement": {"scale": round(placed.scale, 4), "box": [box.left, box.top, box.right, box.bottom]},
    }
    return _Ground(placed, view, None, details)
