"""What memory the renderer takes for a picture and keeps between pictures, in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SETS = ("wood", "lawn", "velvet", "picnic", "sunlight", "pool", "nature", "beach")

RENDERER = """
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

def rendered(scene, size):
    photo_set, params = check(cards.scenes[scene]), SceneParams(scene=scene, width=size, height=size)
    subject = stood(photo_set, params, [Photo(Picture(box), matte)])
    engine.run([shoot.plan(photo_set, params, subject, seed=1, cache=cache, samples=2, depth=4).take])

"""

SMALL = f"""
for scene in {SETS}:
    rendered(scene, 256)
    print(psutil.Process().memory_info().rss >> 20)
"""
LARGE = """
for scene in ("wood", "podium"):
    rendered(scene, 1024)
    peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))  # ru_maxrss is the parent's, too
    print(int(peak.split()[1]) >> 10)
"""


@pytest.mark.slow
def test_a_set_leaves_no_memory_behind(tmp_path: Path) -> None:
    """An overnight catalogue may go through every set there is; each used to leave 70 MiB and more."""
    first, *_, last = mebibytes(SMALL, tmp_path)
    assert last - first < 300


@pytest.mark.slow
def test_a_picture_of_a_megapixel_takes_no_more_than_one_and_a_half_gigabytes(tmp_path: Path) -> None:
    """The paths and the denoiser each take half a gigabyte, one after the other."""
    assert max(mebibytes(LARGE, tmp_path)) < 1430


def mebibytes(script: str, cache: Path) -> list[int]:
    """What a script prints that has the renderer."""
    command = [sys.executable, "-c", RENDERER + script, str(cache)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [int(line) for line in done.stdout.split()]
