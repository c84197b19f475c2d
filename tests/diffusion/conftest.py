"""Tiny models on the disk, loaded the way real ones are."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"

import pytest
import tiny
import torch
from bench import card

from pergai.runners.diffusion.model import StepModel, load

torch.set_num_threads(1)  # nets this small are slower on two


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A weights folder with every kind of tiny model."""
    root = tmp_path_factory.mktemp("weights")
    for kind in tiny.KINDS:
        tiny.save(kind, root / kind)
    return root


@pytest.fixture(scope="session")
def fresh(weights: Path) -> Callable[..., StepModel]:
    """Loads a tiny model, with options of its card."""

    def make(kind: str, **options: object) -> StepModel:
        model = load(card(kind, **options), weights / kind, "cpu")
        assert isinstance(model, StepModel)
        return model

    return make


@pytest.fixture(scope="session")
def models(fresh: Callable[..., StepModel]) -> dict[str, StepModel]:
    """One model of each kind, to be used and left as it was."""
    return {kind: fresh(kind) for kind in tiny.KINDS}
