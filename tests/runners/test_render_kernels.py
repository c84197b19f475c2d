"""What is compiled for a picture, in a process of its own that knows no kernel yet."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pergai.runners.render import model
from tests.runners.desk import WEIGHTS, real_model

SCRIPT = """
import sys
from dataclasses import replace
from pathlib import Path
import drjit as dr
import numpy as np
from pergai.cards.catalogue import load_catalogue
from pergai.engine.core import SceneParams
from pergai.imaging.picture import Matte, Picture
from pergai.runners.render import model, shoot
from pergai.runners.render.spec import check
from pergai.runners.render.subject import Photo, stood
from tests.runners.desk import WEIGHTS

cards, scene, cache = load_catalogue(), sys.argv[1], Path(sys.argv[2])
engine = model.load(cards.models["mitsuba"], WEIGHTS / "mitsuba", "cpu")
photo_set = check(cards.scenes[scene])
dr.set_flag(dr.JitFlag.KernelHistory, True)
for seed, (width, height), tall in ((1, (96, 96), 90), (2, (96, 96), 30), (3, (130, 78), 90), (4, (64, 99), 150)):
    box = np.full((tall, 60, 3), 90, np.uint8)
    product = Photo(Picture(box), Matte(np.full((tall, 60), 255, np.uint8), box))
    params = SceneParams(scene=scene, width=width, height=height, variant=seed % 3)
    subject = stood(photo_set, params, [product])
    dr.kernel_history_clear()
    for _ in range(2):
        engine.run([shoot.plan(photo_set, params, subject, seed=seed, cache=cache, samples=3, depth=4).take])
    print(sum(not kernel.get("cache_hit", True) for kernel in dr.kernel_history()))
"""


@pytest.mark.skipif(
    (sys.platform, platform.machine()) != ("linux", "x86_64"), reason="its wheel is for Linux on x86-64"
)
def test_the_library_that_was_pulled_compiles_whatever_the_system_has(monkeypatch: pytest.MonkeyPatch) -> None:
    library = WEIGHTS / "llvm" / "lib" / "libLLVM.so"
    monkeypatch.delenv("DRJIT_LIBLLVM_PATH", raising=False)
    renderer: Any = real_model(model.load, "mitsuba")
    assert renderer.variant in ("llvm", "cuda")
    assert os.environ["DRJIT_LIBLLVM_PATH"] == str(library.absolute())


@pytest.mark.slow
@pytest.mark.parametrize("scene", ["marble", "podium"])
def test_a_set_is_compiled_once_for_all_its_pictures(scene: str, tmp_path: Path) -> None:
    """Whatever the size, the product, the seed, the variation: a compiler takes longer than many a picture's light."""
    renderer: Any = real_model(model.load, "mitsuba")
    if renderer.variant == "scalar":
        pytest.skip("the scalar variant compiles nothing")
    known, cache = {"DRJIT_CACHE_DIR": str(tmp_path)}, str(tmp_path / "cache")
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, scene, cache],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **known},
    )
    assert done.returncode == 0, done.stderr
    first, *others = map(int, done.stdout.split())
    assert first > 0
    assert others == [0, 0, 0]
