"""A bench for runners: an honest small Desk that runs real models inline, one at a time, without the engine."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Hashable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pergai.cards.catalogue import load_catalogue
from pergai.cards.structs import ModelCard, PipelineCard, SceneCard
from pergai.engine.core import UNFINISHED, Model
from pergai.errors import JobError

T = TypeVar("T")

CHECKOUT = Path(__file__).resolve().parents[2]

WEIGHTS = Path(os.environ.get("PERGAI_WEIGHTS") or CHECKOUT / "data" / "weights")
"""Where `make install` puts the embedded weights; one folder a model card."""


def real_model(loader: Callable[[ModelCard, Path, str], Model], id: str, device: str = "cpu") -> Model:
    """The model of a packaged card, loaded by its family's loader from the weights on this machine."""
    card = load_catalogue().models[id]
    return loader(card, WEIGHTS / id, device)


class BenchDesk:
    """Implements `pergai.engine.core.Desk`. Remembers what was asked of it: `runs` and `phases`."""

    def __init__(
        self,
        pipeline: PipelineCard,
        models: Mapping[str, Model],
        cache: Path,
        scenes: Mapping[str, SceneCard] | None = None,
    ) -> None:
        self.pipeline = pipeline
        self.cache = cache
        self._models = models
        self._scenes = scenes or {}
        self.runs: list[str] = []
        """Ids of the models that ran, in order."""
        self.phases: list[tuple[float, str]] = []

    def scene(self, id: str) -> SceneCard:
        if id not in self._scenes:
            raise JobError(f"there is no scene {id!r}")
        return self._scenes[id]

    async def cpu(self, work: Callable[..., T], *args: Any) -> T:
        return work(*args)

    async def device(self, model: str, payload: Any, *, shape: Hashable = None, turns: int = 1) -> Any:
        self.runs.append(model)
        while True:
            (result,) = self._models[model].run([payload])
            await asyncio.sleep(0)  # what the model had to say is heard
            if result is not UNFINISHED:
                return result

    def progress(self, fraction: float, phase: str) -> None:
        self.phases.append((fraction, phase))
