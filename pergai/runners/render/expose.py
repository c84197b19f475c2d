"""From a planned set to its light: on the device, in turns, with a word about how far it is."""

from __future__ import annotations

import asyncio
import contextlib

from pergai.engine.core import Desk
from pergai.runners.render.model import Contrast, InTurns, Light, Take


async def expose(desk: Desk, engine: str, exposure: Take | Contrast, begin: float, end: float, phase: str) -> Light:
    """Render with the model `engine` (id of a model card); the job's progress goes from `begin` to `end` meanwhile.

    Raises JobError and ModelUnavailable.
    """
    loop, waiting = asyncio.get_running_loop(), True

    def show(fraction: float) -> None:
        if waiting:
            desk.progress(begin + (end - begin) * fraction, phase)

    def report(fraction: float) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is left to be told
            loop.call_soon_threadsafe(show, fraction)

    payload = InTurns(exposure=exposure, report=report)
    show(0)
    try:
        light: Light = await desk.device(engine, payload, turns=payload.turns)
        return light
    finally:
        waiting = False
