"""The door to the diffusion engine, shut until it works: `pipelines/diffusion.toml` says why, and so does a job."""

from __future__ import annotations

from pergai.engine.core import Desk, Job, Outcome
from pergai.errors import ModelUnavailable


class Diffusion:
    """Refuses every job with the reason its pipeline card gives."""

    async def run(self, job: Job, desk: Desk) -> Outcome:
        raise ModelUnavailable(f"{job.pipeline}: {desk.pipeline.unavailable}")
