"""`pergai doctor --full`: a server of its own does everything the profile offers, and the pictures are held against what they
should be. It stands here because the profile paints, too."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import tiny
from PIL import Image

from pergai.demo.trial import ALIKE, _pulled, difference, shrink
from pergai.settings import load_settings

REFERENCES = Path(__file__).resolve().parents[2] / "configs" / "references"
CARDS = {
    "models/tiny.toml": """
title = "Tiny"
family = "diffusers"
licence = "MIT"
memory_mib = 64
source = { kind = "hub", repository = "nobody/nothing", revision = "none" }
files = [{ name = "model_index.json" }]
""",
    "pipelines/tiny.toml": """
title = "Tiny"
runner = "diffusion"
tasks = ["scene"]
models = { diffusion = "tiny", matte = "u2netp" }
options = { side = 64, steps = 3, guidance = 3.0, scheduler = "euler" }
""",
    "own.toml": """
[providers.tiny]
title = "Tiny"
scene = "tiny"
remove-bg = "cutout"
upscale = "upscale-fast"
expand = "extend"
[providers.far]
title = "Far"
scene = "render-fast"
remove-bg = "cutout-birefnet"
""",
}


@pytest.fixture
def home(tmp_path: Path, weights_folder: Path) -> Path:
    """A data folder with cards of its own, beside a folder of weights."""
    (tmp_path / "weights").mkdir()
    for folder in weights_folder.iterdir():
        if folder.is_dir():
            (tmp_path / "weights" / folder.name).symlink_to(folder)
    tiny.save("sd9", tmp_path / "weights" / "tiny")
    for name, text in CARDS.items():
        path = tmp_path / "home" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path / "home"


@pytest.mark.slow
def test_every_pipeline_is_tried_and_each_diffusion_model_is_compared_with_stock(home: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PERGAI_")} | {
        "PERGAI_HOME": str(home),
        "PERGAI_WEIGHTS": str(home.parent / "weights"),
        "PERGAI_CONFIG": str(home / "own.toml"),
        "PERGAI_OFFLINE": "1",
        "PERGAI_PORT": "0",
    }
    command = [sys.executable, "-m", "pergai", "doctor", "--full", "--json", "--keep", str(home / "kept")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=400)
    findings: dict[str, dict[str, Any]] = {one["subject"]: one for one in json.loads(done.stdout)}

    for work in ("scene by tiny", "remove-bg by cutout", "upscale by upscale-fast", "expand by extend"):
        assert findings[work]["level"] == "ok", findings[work]
        assert " MiB, " in findings[work]["detail"]
        assert ", 0 MiB" not in findings[work]["detail"]
    for work in ("remove-bg by cutout", "upscale by upscale-fast"):
        assert "from the reference" in findings[work]["detail"]
    assert "from the reference" in findings["scene by render-fast"]["detail"]
    assert findings["tiny against stock diffusers"]["detail"].startswith(("at most 0 of 255", "at most 1 of 255"))
    assert findings["tiny against stock diffusers"]["level"] == "ok"
    # What cannot be fetched here is said, and the rest goes on.
    assert findings["pull birefnet-general"]["level"] == "problem"
    assert "PERGAI_OFFLINE" in findings["pull birefnet-general"]["detail"]
    assert findings["remove-bg by cutout-birefnet"]["detail"].startswith("not tried: weights are missing")
    assert done.returncode == 1
    assert {path.stem for path in (home / "kept").iterdir()} >= {"cutout", "tiny", "extend", "render-fast"}
    assert not (home / "pergai.db").exists()


@pytest.mark.parametrize(("accepted", "says"), [([], "forbids commercial use"), (["sdxl-turbo"], "PERGAI_OFFLINE")])
def test_weights_whose_licence_nobody_accepted_are_not_fetched(tmp_path: Path, accepted: list[str], says: str) -> None:
    (tmp_path / "own.toml").write_text('[providers.own]\ntitle = "Own"\nscene = "scene-turbo"\n')
    settings = load_settings(str(tmp_path / "own.toml"), home=tmp_path, offline=True, accept_licences=accepted)
    found = {finding.subject: finding for finding in _pulled(settings)}
    assert says in found["pull sdxl-turbo"].detail


def test_another_picture_is_far_from_its_reference_and_a_little_noise_is_not(tmp_path: Path) -> None:
    reference = REFERENCES / "render.png"
    assert difference(shrink(reference), reference) == 0
    with Image.open(reference) as image:
        image.point(lambda value: min(255, value + 2)).save(tmp_path / "noisy.png")
        image.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(tmp_path / "other.png")
        image.resize((50, 50)).save(tmp_path / "small.png")
    assert 0 < (difference(shrink(tmp_path / "noisy.png"), reference) or 0) < ALIKE
    assert (difference(shrink(tmp_path / "other.png"), reference) or 0) > ALIKE
    assert difference(shrink(tmp_path / "small.png"), reference) == 255
    assert difference(shrink(reference), tmp_path / "none.png") is None


@pytest.mark.parametrize("path", sorted(REFERENCES.glob("*.png")), ids=lambda path: path.stem)
def test_a_reference_belongs_to_a_pipeline_that_there_is(path: Path) -> None:
    assert (REFERENCES.parents[1] / "pipelines" / f"{path.stem}.toml").is_file()
