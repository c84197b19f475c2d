"""A model whose weights are missing is stood in for by another, in every pipeline that names it; one that has a helper works
without it, too."""

from __future__ import annotations

from pathlib import Path

import pytest

from pergai.cards.catalogue import load_catalogue
from pergai.errors import CardError
from pergai.paths import Home
from pergai.services.providers import Providers
from pergai.settings import load_settings

CARDS = load_catalogue()


@pytest.fixture
def lacking(tmp_path: Path, weights_folder: Path) -> Path:
    """A data folder that has all embedded weights but those of the segmentation net and of the renderer's helper."""
    (tmp_path / "weights").mkdir()
    for folder in weights_folder.iterdir():
        if folder.is_dir() and folder.name not in ("isnet", "llvm"):
            (tmp_path / "weights" / folder.name).symlink_to(folder)
    return tmp_path


def test_with_its_weights_a_model_does_its_own_work(weights_folder: Path) -> None:
    assert CARDS.as_found(weights_folder).pipelines == CARDS.pipelines


def test_without_them_its_stand_in_does_all_of_it(lacking: Path) -> None:
    found = CARDS.as_found(lacking / "weights").pipelines
    assert found["cutout"].models == {"segment": "u2netp", "engine": "mitsuba"}
    assert all("isnet" not in card.models.values() for card in found.values())
    assert found["upscale-fast"] == CARDS.pipelines["upscale-fast"]


def test_a_profile_works_with_the_stand_in_and_still_asks_for_the_model(
    lacking: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PERGAI_WEIGHTS", raising=False)
    providers = Providers(load_settings("embedded", home=lacking), CARDS)
    _, pipeline = providers.resolve("nano-banana", "remove-bg")
    assert pipeline.models["segment"] == "u2netp"
    assert {"isnet", "u2netp", "llvm"} <= {card.id for card in providers.needed_models()}
    assert providers.is_replaced("isnet") and providers.is_replaced("llvm")
    assert not providers.is_replaced("u2netp")


@pytest.mark.parametrize("stand_in", ["nobody", "realesrgan-x4plus", "isnet"])
def test_a_stand_in_is_of_the_same_family_and_has_none_itself(tmp_path: Path, stand_in: str) -> None:
    (tmp_path / "models").mkdir()
    text = (Path(__file__).parents[2] / "models" / "u2net.toml").read_text()
    (tmp_path / "models" / "ours.toml").write_text(f'stand_in = "{stand_in}"\n{text}')
    with pytest.raises(CardError, match=rf"models/ours\.toml: stand_in: '{stand_in}' is not one of .*u2netp"):
        load_catalogue(Home(tmp_path))


@pytest.mark.parametrize("helper", ["nobody", "u2netp"])
def test_a_helper_is_a_library(tmp_path: Path, helper: str) -> None:
    (tmp_path / "models").mkdir()
    text = (Path(__file__).parents[2] / "models" / "u2net.toml").read_text()
    (tmp_path / "models" / "ours.toml").write_text(f'helper = "{helper}"\n{text}')
    with pytest.raises(CardError, match=rf"models/ours\.toml: helper: '{helper}' is not one of llvm"):
        load_catalogue(Home(tmp_path))
