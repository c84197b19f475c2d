"""A product in a painted scene."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from pergai.engine.core import Desk, Job, Outcome, Reference, SceneParams
from pergai.imaging.picture import RGB
from pergai.runners.diffusion import canvas
from pergai.runners.diffusion.control import Control
from pergai.runners.diffusion.options import (
    CONTROL,
    MATTE,
    PAINTER,
    SET,
    Options,
    manner,
    negative_prompt,
    phrases,
    prompt,
    settings,
)
from pergai.runners.diffusion.paint import enlarge, paint
from pergai.runners.diffusion.request import Request
from pergai.runners.render import maps, reader, shoot
from pergai.runners.render.spec import PhotoSet, check
from pergai.runners.render.subject import Subject, take_up


class _Ground(NamedTuple):
    """What is behind the product before anything is painted, and the record of it."""

    start: RGB | None
    hint: RGB | None
    """What a ControlNet is shown of it, at some size of the same shape."""
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
    control = None
    if ground.hint is not None:
        control = Control(
            net=models[CONTROL],
            hint=await desk.cpu(canvas.resized, ground.hint, size),
            scale=options.control_scale,
            start=options.control_start,
            end=options.control_end,
        )
    request = Request(
        image=picture,
        mask=mask,
        prompt=prompt(options, params.prompt, scene.prompt),
        negative_prompt=negative_prompt(options, params.negative_prompt, scene.negative_prompt),
        seed=job.seed,
        strength=options.strength if ground.start is not None else 1.0,
        control=control,
        **manner(desk.pipeline, options),
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
    rendered, guided = ground.start is not None, control is not None
    used = (
        models[MATTE],
        models[SET] if rendered else "",
        models[CONTROL] if guided else "",
        *(lora for lora, _ in request.loras),
        models[PAINTER],
        net,
    )
    return Outcome(
        pixels=pixels,
        reference=Reference(pixels=placed.foreground, where=subject.where),
        model="+".join(name for name in used if name),
        ai_made="algorithmic",
        notes=tuple(notes),
        words=phrases(params.prompt),
        details={**ground.details, **settings(options, request, painted)},
    )


async def _ground(
    job: Job, desk: Desk, params: SceneParams, options: Options, photo_set: PhotoSet, subject: Subject
) -> _Ground:
    if options.start != "set":
        return _Ground(None, None, {k: v for k, v in subject.details.items() if k != "cameraPitch"})
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
    seen = await maps.render(desk, desk.pipeline.models[SET], planned, 0.35, 0.4)
    start = await desk.cpu(canvas.resized, seen.picture, (params.height, params.width))
    if CONTROL not in desk.pipeline.models:
        return _Ground(start, None, planned.details)
    hint = seen.disparity()[..., None].repeat(3, 2) if options.control_map == "depth" else normal_picture(seen.normal)
    details = {"map": options.control_map, "scale": options.control_scale}
    span = [options.control_start, options.control_end]
    return _Ground(start, hint, {**planned.details, "control": {**details, "span": span}})


def normal_picture(normal: npt.NDArray[np.float32]) -> RGB:
    """Normals in the camera's axes (x right, y up, z to the camera) as the ControlNets for normals were taught to read them:
    red is left, green is up, blue is to the front (the ControlNet 1.1 model cards)."""
    return np.asarray(np.rint((normal * np.array([-1, 1, 1], np.float32) + 1) * 127.5), np.uint8)
