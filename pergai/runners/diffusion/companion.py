"""Weights that only work inside a diffusion model: a ControlNet, a LoRA. They are resident like any model, with their own
card, memory and licence, and any number of requests of one base model may bring different ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pergai.errors import JobError


class Companion:
    """A `Model` of the engine that is never run by itself."""

    max_batch = 1

    def __init__(self, edition: Mapping[str, str] | None = None) -> None:
        self.edition = edition or {}
        """Which weights these are (`load.edition_of`)."""

    def run(self, payloads: Sequence[Any]) -> Sequence[Any]:  # noqa: ARG002 - the signature of all models
        """Raises JobError."""
        raise JobError("these weights work only inside a diffusion model: a pipeline card names them beside it")
