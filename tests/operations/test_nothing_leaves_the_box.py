"""No telemetry: what a library writes into the user's home, or would send to its maker."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

LOAD = """
import sys
from pathlib import Path

from pergai.cards.catalogue import load_catalogue
from pergai.paths import Home
{import_registry}

home = Home(Path(sys.argv[1]), Path(sys.argv[2]))
card = load_catalogue(home).models["u2netp"]
{load}
"""
OURS = LOAD.format(
    import_registry="from pergai.runners.registry import load_model",
    load='load_model(card, home.weights / card.id, "cpu")',
)
BARE = LOAD.format(
    import_registry="import onnxruntime",
    load="onnxruntime.InferenceSession(next((home.weights / card.id).glob('*.onnx')))",
)


def written_at_home(script: str, folder: Path, weights: Path) -> list[str]:
    """What the script leaves in a user's home folder, run as a user would: no variable that switches telemetry off."""
    home = folder / "home"
    home.mkdir()
    silencing = ("CI", "ORT_DISABLE_TELEMETRY", "ORT_RUNNING_UNIT_TESTS", "XDG_CACHE_HOME", "XDG_DATA_HOME")
    environment = {name: value for name, value in os.environ.items() if name not in silencing} | {"HOME": str(home)}
    subprocess.run(
        [sys.executable, "-c", script, str(folder / "data"), str(weights)],
        env=environment,
        check=True,
        timeout=120,
        cwd=folder,
    )
    return sorted(str(path.relative_to(home)) for path in home.rglob("*"))


def test_segmentation_leaves_no_device_id_and_no_events(tmp_path: Path, weights_folder: Path) -> None:
    assert written_at_home(OURS, tmp_path, weights_folder) == []


def test_the_library_alone_would(tmp_path: Path, weights_folder: Path) -> None:
    """Otherwise the test above could not fail. When this one does, the library has mended its ways: both can go."""
    assert any("onnxruntime" in name for name in written_at_home(BARE, tmp_path, weights_folder))
