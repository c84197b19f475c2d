"""What the renderer keeps of memory between pictures, in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SETS = ("wood", "lawn", "velvet", "picnic", "sunlight", "pool", "nature", "beach")

SCRIPT = f"""
import sys
from pathlib import Path
import numpy as np, psutil
from pergai.cards.catalogue import load_catalogue
from pergai.engine.core import SceneParams
from pergai.imaging.picture import Matte, Picture
from pergai.runners.render import model, shoot
from pergai.runners.render.spec import check
from pergai.runners.render.subject import Photo, stood
from tests.runners.desk import WEIGHTS

cards, cache = load_catalogue(), Path(sys.argv[1])
engine = model.load(cards.models["mitsuba"], WEIGHTS / "mitsuba", "cpu")
box = np.full((90, 60, 3), 90, np.uint8)
matte = Matte(np.full((90, 60), 255, np.uint8), box)
for scene in {SETS}:
    photo_set, params = check(cards.scenes[scene]), SceneParams(scene=scene, width=256, height=256)
    subject = stood(photo_set, params, [Photo(Picture(box), matte)])
    engine.run([shoot.plan(photo_set, params, subject, seed=1, cache=cache, samples=2, depth=4).take])
    print(psutil.Process().memory_info().rss >> 20)
"""


@pytest.mark.slow
def test_a_set_leaves_no_memory_behind(tmp_path: Path) -> None:
    """An overnight catalogue may go through every set there is; each used to leave 70 MiB and more."""
    done = subprocess.run([sys.executable, "-c", SCRIPT, str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    first, *_, last = map(int, done.stdout.split())
    assert last - first < 300
