"""The runner `render`: a product's photo on a rendered set."""

from __future__ import annotations

from dataclasses import asdict, replace

import msgspec

from pergai.engine.core import Desk, Job, Outcome, SceneParams
from pergai.runners.render import reader, relight, shoot
from pergai.runners.render.brand import branded
from pergai.runners.render.expose import expose
from pergai.runners.render.layers import layered
from pergai.runners.render.model import Contrast, Light, Take
from pergai.runners.render.spec import check
from pergai.runners.render.subject import take_up


class Render:
    """Decode, cut out, adjust the set to the prompt, stand the product in it, render its light, and put the product's own
    pixels on top.

    Pipeline options: `samples` (paths a pixel), `depth` (their longest), `light_pixels` (the light is rendered at
    this squared at most). Models: `matte`, `engine`.
    """

    async def run(self, job: Job, desk: Desk) -> Outcome:
        params = msgspec.convert(job.params, SceneParams)
        models, options = desk.pipeline.models, desk.pipeline.options
        card = desk.scene(params.scene)
        photo_set, brand_colours = branded(check(card), params.colours)
        adjusted = reader.adjust(photo_set, params.prompt, params.negative_prompt, reader.own_words(card))
        if params.shadow == "auto":
            params = replace(params, shadow=adjusted.shadow)
        subject = await take_up(job, desk, params, adjusted.photo_set, models["matte"])
        desk.progress(0.35, "set")
        planned = await desk.cpu(
            lambda: shoot.plan(
                adjusted.photo_set,
                params,
                subject,
                seed=job.seed,
                cache=desk.cache,
                samples=int(options.get("samples", 8)),
                depth=int(options.get("depth", 5)),
                light_pixels=int(options.get("light_pixels", shoot.LIGHT_PIXELS)),
            )
        )
        exposure: Take | Contrast = planned.take
        if params.lock_camera and params.shadow != "none":
            exposure = Contrast(take=planned.take, bare=planned.bare, hidden=planned.hidden, folder=desk.cache / "sets")
        layers = job.format == "psd"
        light = await expose(desk, models["engine"], exposure, 0.45, 0.65 if layers else 0.85, "light")
        if params.relight == "match":
            planned = await desk.cpu(_relit, planned, light)
        if layers:
            bare: Light | None = None
            if not planned.photo_set.look.seamless:
                bare = await expose(desk, models["engine"], planned.bare, 0.65, 0.85, "bare set")
            desk.progress(0.85, "develop")
            outcome = await desk.cpu(layered, planned, light, bare, params.bit_depth)
        else:
            desk.progress(0.85, "develop")
            outcome = await desk.cpu(shoot.finish, planned, light, params.bit_depth)
        details = dict(outcome.details)
        if adjusted.unused:
            details["unusedWords"] = list(adjusted.unused)
        if brand_colours:
            details["brandColours"] = list(brand_colours)
        if params.safe_area is not None:
            details["logoSafeArea"] = asdict(params.safe_area)
        return replace(
            outcome,
            model="+".join((models["matte"], models["engine"])),
            notes=(*outcome.notes, *(f"word_not_used:{word}" for word in adjusted.unused)),
            words=adjusted.words,
            details=details,
        )


def _relit(plan: shoot.Plan, light: Light) -> shoot.Plan:
    """The plan with its product in the light of the set."""
    subject = plan.subject
    placed, record = relight.matched(subject.placed, plan.photo_set, light, plan.hidden)
    relit = replace(subject, placed=placed, notes=(*subject.notes, "product_relit"))
    return replace(plan, subject=relit, details={**plan.details, "relight": record})
