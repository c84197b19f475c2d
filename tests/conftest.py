"""What all tests share: real photos and real weights."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import skimage.data

from pergai.imaging.picture import RGB

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def sample_photo() -> Path:
    """The product photo that ships with the server: a red cup on a saucer."""
    return REPOSITORY / "configs" / "sample.png"


@pytest.fixture(scope="session")
def photos() -> dict[str, RGB]:
    """Real photos by name, (height, width, 3) uint8."""
    names = ("coffee", "chelsea", "motorcycle", "rocket", "astronaut")
    return {name: np.ascontiguousarray(_photo(name)) for name in names}


@pytest.fixture(scope="session")
def weights_folder() -> Path:
    """Where the embedded weights lie (`make install` fetches them): one folder a model card."""
    return Path(os.environ.get("PERGAI_WEIGHTS") or REPOSITORY / "data" / "weights")


def _photo(name: str) -> RGB:
    if name == "motorcycle":
        return np.asarray(skimage.data.stereo_motorcycle()[0])
    return np.asarray(getattr(skimage.data, name)())
