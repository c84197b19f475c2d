"""What is installed, shipped and started."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PINS = {
    canonicalize_name(name): version
    for name, version in (
        line.split("==") for line in (ROOT / "configs" / "constraints.txt").read_text().splitlines() if "==" in line
    )
}


def requirements() -> list[Requirement]:
    extras = PROJECT["optional-dependencies"].values()
    return [Requirement(text) for text in (*PROJECT["dependencies"], *(text for extra in extras for text in extra))]


def test_torchvision_is_absent_and_nothing_asks_for_it() -> None:
    """One that does not fit torch breaks the import of diffusers."""
    assert find_spec("torchvision") is None
    assert "torchvision" not in PINS
    asking = [
        installed.metadata["Name"]
        for installed in metadata.distributions()
        for text in installed.requires or ()
        if Requirement(text).name == "torchvision" and "extra" not in text
    ]
    assert asking == []


def test_torch_is_the_pinned_one() -> None:
    assert PINS["torch"] == "2.13.0"
    assert metadata.version("torch").split("+")[0] == "2.13.0"


@pytest.mark.parametrize("requirement", requirements(), ids=str)
def test_every_dependency_is_pinned_within_its_bounds(requirement: Requirement) -> None:
    name = canonicalize_name(requirement.name)
    if name == "pip":  # comes with the virtual environment
        return
    assert name in PINS
    assert requirement.specifier.contains(PINS[name])


def test_what_is_installed_is_what_is_pinned() -> None:
    installed = {canonicalize_name(found.metadata["Name"]): found.version for found in metadata.distributions()}
    differing = {
        name: (version, installed[name])
        for name, version in PINS.items()
        if name in installed and installed[name].split("+")[0] != version
    }
    assert differing == {}


def test_everything_installed_is_pinned() -> None:
    ours = {"pergai", "pip"}
    build_tools = {"setuptools", "wheel", "editables"}  # installed where pip builds without isolation
    installed = {canonicalize_name(found.metadata["Name"]) for found in metadata.distributions()}
    assert sorted(installed - PINS.keys() - ours - build_tools) == []


def test_the_image_runs_as_nobody_special_with_one_volume_and_no_weights() -> None:
    dockerfile = (ROOT / "Dockerfile.cuda").read_text()
    final_stage = dockerfile.split("\nFROM ")[-1]
    assert re.search(r"^USER 10001:10001$", final_stage, re.MULTILINE)
    assert re.findall(r"^VOLUME (.*)$", dockerfile, re.MULTILINE) == ["/data"]
    assert "/healthz" in final_stage
    assert 'ENTRYPOINT ["pergai"]' in final_stage
    assert 'CMD ["serve"]' in final_stage
    assert not any("models pull" in line for line in dockerfile.splitlines() if not line.startswith("#"))
    assert "-c configs/constraints.txt" in dockerfile


def test_only_the_sources_go_to_the_image_builder() -> None:
    first, *allowed = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and line[0] != "#"]
    assert first == "*"
    assert {line[1:] for line in allowed if line.startswith("!")} == {
        "pergai", "models", "pipelines", "configs", "pyproject.toml", "README.md",
    }  # fmt: skip


def test_the_unit_drains_before_it_is_killed_and_survives_the_oom_killer() -> None:
    unit = dict(
        line.split("=", 1)
        for line in (ROOT / "configs" / "pergai.service").read_text().splitlines()
        if "=" in line and line[0] != "#"
    )
    from pergai.settings import ServerSettings

    assert int(unit["TimeoutStopSec"]) > ServerSettings().drain_seconds + 15
    assert (unit["Type"], unit["KillMode"], unit["OOMPolicy"]) == ("exec", "mixed", "continue")
    assert (unit["StateDirectory"], unit["Restart"]) == ("pergai", "on-failure")
    assert unit["DeviceAllow"] == "char-nvidia* rw"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd here")
def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    text = (ROOT / "configs" / "pergai.service").read_text()
    unit = tmp_path / "pergai.service"
    unit.write_text(text.replace("/opt/pergai/bin/pergai", "/bin/true"))
    done = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_wheel_carries_every_card(tmp_path: Path) -> None:
    from hatchling.builders.wheel import WheelBuilder

    builder = WheelBuilder(str(ROOT))
    (wheel,) = builder.build(directory=str(tmp_path), versions=["standard"])
    import zipfile

    names = set(zipfile.ZipFile(wheel).namelist())
    cards = [*ROOT.glob("models/*.toml"), *ROOT.glob("pipelines/*.toml"), *ROOT.glob("configs/**/*.toml")]
    assert len(cards) > 20
    assert {f"pergai/_cards/{card.relative_to(ROOT)}" for card in cards} <= names
    assert {"pergai/_cards/configs/sample.png", "pergai/demo/page.html", "pergai/db/migrations/script.py.mako"} <= names
