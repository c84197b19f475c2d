"""The runner `diffusion`: scenes and borders painted by a diffusion model."""

from __future__ import annotations

from pergai.engine.core import Desk, Job, Outcome
from pergai.errors import JobError, ModelUnavailable
from pergai.runners.diffusion import expand, scene
from pergai.runners.diffusion.options import options_of


class Diffusion:
    """Tasks `scene` and `expand`. Options: `Options`. Models: `diffusion`, `matte`; `engine` for scenes that start from
    a rendered set; `upscale` for results above the model's own size."""

    async def run(self, job: Job, desk: Desk) -> Outcome:
        """Raises ModelUnavailable with the card's own reason when it is shut, CardError, and what the tasks raise."""
        if desk.pipeline.unavailable:
            raise ModelUnavailable(f"{job.pipeline}: {desk.pipeline.unavailable}")
        options = options_of(desk.pipeline)
        match job.kind:
            case "scene":
                return await scene.run(job, desk, options)
            case "expand":
                return await expand.run(job, desk, options)
        raise JobError(f"the runner diffusion does not do {job.kind}")
