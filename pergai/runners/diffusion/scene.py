"""A product in a painted scene."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from pergai.engine.core import Desk, Job, Outcome, Reference, SceneParams
from pergai.imaging.picture import RGB
from pergai.runners.diffusion import canvas
from pergai.runners.diffusion.options import MATTE, PAINTER, SET, Options, negative_prompt, phrases, prompt, settings
from pergai.runners.diffusion.paint import enlarge, paint
from pergai.runners.diffusion.request import Request
from pergai.runners.render import reader, shoot
from pergai.runners.render.model import Light
from pergai.runners.render.spec import PhotoSet, check
from pergai.runners.render.subject import Subject, take_up


class _Ground(NamedTuple):
    """What is behind the product before anything is painted, and the record of it."""

    start: RGB | None
    details: Mapping[str, Any]


async def run(job: Job, desk: Desk, options: Options) -> Outcome:
    """Cut out, place, paint the surroundings, put the product's own pixels on top.

    Notes: the source's, `prompt_in_chunks:N`, `shadow_predicted`, `product_enlarged`. Raises NoProductFound, JobError.
    """
    params = msgspec.convert(job.params, SceneParams)
    scene, models = desk.scene(params.scene), desk.pipeline.models
    photo_set = check(scene)
    if options.start == "set":
        own = reader.own_words(scene)
        photo_set = reader.adjust(photo_set, params.prompt, params.negative_prompt, own).photo_set
    subject = await take_up(job, desk, params, photo_set, models[MATTE])
    placed = subject.placed
    ground = await _ground(job, desk, params, options, photo_set, subject)
    desk.progress(0.4, "diffuse")
    size = canvas.paint_size(params.width, params.height, options.side)
    picture, mask = await desk.cpu(canvas.stage, placed, ground.start, size)
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
    pixels = await desk.cpu(canvas.develop, large, placed, shadow, subject.view, blur)
    notes = [*subject.notes, *painted.notes]
    if shadow != "none":
        notes.append("shadow_predicted")
    used = (models[MATTE], models[SET] if ground.start is not None else "", models[PAINTER], net)
    return Outcome(
        pixels=pixels,
        reference=Reference(pixels=placed.foreground, where=subject.where),
        model="+".join(name for name in used if name),
        ai_made="algorithmic",
        notes=tuple(notes),
        words=phrases(params.prompt),
        details={**ground.details, **settings(options, request)},
    )


async def _ground(
    job: Job, desk: Desk, params: SceneParams, options: Options, photo_set: PhotoSet, subject: Subject
) -> _Ground:
    if options.start != "set":
        return _Ground(None, {k: v for k, v in subject.details.items() if k != "cameraPitch"})
    planned = await desk.cpu(
        lambda: shoot.plan(
            photo_set,
            params,
            subject,
            seed=job.seed,
            cache=desk.cache,
            samples=options.samples,
            light_pixels=options.side,
        )
    )
    desk.progress(0.35, "light")
    light: Light = await desk.device(desk.pipeline.models[SET], planned.take)
    rendered = await desk.cpu(shoot.finish, planned, light)
    return _Ground(rendered.pixels, rendered.details)
