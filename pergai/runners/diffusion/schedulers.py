"""The closed table of samplers, and one sampler object for every request.

Euler and Euler ancestral: Karras et al. 2022 (arXiv 2206.00364). DPM++ 2M and its SDE form: Lu et al. 2022 (2211.01095).
UniPC: Zhao et al. 2023 (2302.04867). DDIM: Song et al. 2020 (2010.02502). LCM: Luo et al. 2023 (2310.04378). The
few-step rows are the settings their authors give: SDXL-Turbo (Euler ancestral, trailing), SDXL-Lightning (Euler,
trailing), Hyper-SD (DDIM, trailing).
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pergai.errors import JobError

if TYPE_CHECKING:
    from torch import Tensor

SCHEDULERS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "euler": ("EulerDiscreteScheduler", {}),
    "euler_a": ("EulerAncestralDiscreteScheduler", {}),
    "dpmpp_2m": ("DPMSolverMultistepScheduler", {"algorithm_type": "dpmsolver++"}),
    "dpmpp_2m_karras": ("DPMSolverMultistepScheduler", {"algorithm_type": "dpmsolver++", "use_karras_sigmas": True}),
    "dpmpp_2m_sde": ("DPMSolverMultistepScheduler", {"algorithm_type": "sde-dpmsolver++"}),
    "dpmpp_2m_sde_karras": (
        "DPMSolverMultistepScheduler",
        {"algorithm_type": "sde-dpmsolver++", "use_karras_sigmas": True},
    ),
    "unipc": ("UniPCMultistepScheduler", {}),
    "ddim": ("DDIMScheduler", {}),
    "lcm": ("LCMScheduler", {}),
    "turbo": ("EulerAncestralDiscreteScheduler", {"timestep_spacing": "trailing"}),
    "lightning": ("EulerDiscreteScheduler", {"timestep_spacing": "trailing"}),
    "hyper": ("DDIMScheduler", {"timestep_spacing": "trailing"}),
}
"""Name → (class of diffusers, what it changes in the model's own configuration)."""


def make(name: str, config: Mapping[str, Any]) -> Any:
    """A fresh scheduler on a model's own noise schedule. Raises JobError for a name that is not in the table."""
    import diffusers

    if name not in SCHEDULERS:
        raise JobError(f"scheduler: {name!r} is not one of {', '.join(SCHEDULERS)}")
    kind, changes = SCHEDULERS[name]
    return getattr(diffusers, kind).from_config(config, **changes)


def schedule(scheduler: Any, steps: int, strength: float) -> tuple[Tensor, ...]:
    """Set the scheduler to `steps` and give the timesteps that `strength` leaves of them, as diffusers does.

    They stay on the CPU: looking one up on a GPU would wait for it. Raises JobError when nothing is left.
    """
    if not 0 < strength <= 1:
        raise JobError(f"strength: {strength} is not above 0 and at most 1")
    if not 1 <= steps <= 200:
        raise JobError(f"steps: {steps} is not from 1 to 200")
    scheduler.set_timesteps(steps)
    skipped = max(steps - min(int(steps * strength), steps), 0)
    start = skipped * scheduler.order
    timesteps = scheduler.timesteps[start:]
    if len(timesteps) < 1:
        raise JobError(f"strength: {strength} of {steps} steps leaves none to run")
    if hasattr(scheduler, "set_begin_index"):
        scheduler.set_begin_index(start)
    return tuple(timesteps)


def step_options(scheduler: Any, generator: Any) -> dict[str, Any]:
    """What this scheduler's `step` takes beside the prediction: its source of noise, and DDIM's eta of 0."""
    accepted = inspect.signature(scheduler.step).parameters
    offered = {"generator": generator, "eta": 0.0}
    return {key: value for key, value in offered.items() if key in accepted}
