"""The cards of the diffusion pipelines, and what a server does while their weights are missing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from pergai.cards.catalogue import load_catalogue
from pergai.cards.structs import HubSource, ModelCard, PipelineCard
from pergai.cards.weights import unpinned
from pergai.errors import CardError, ProviderUnavailable, SettingsError
from pergai.paths import Home
from pergai.runners.diffusion.options import CONTROL, LORA, MATTE, PAINTER, SAFETY, SET, manner, options_of, prompt
from pergai.runners.diffusion.switches import (
    ControlSwitches,
    LoraSwitches,
    NetSwitches,
    PainterSwitches,
    switches_of,
)
from pergai.runners.diffusion.upscaler import UpscalerSwitches
from pergai.runners.registry import LOADERS, RUNNERS, load_model
from pergai.services.providers import Providers
from pergai.settings import load_settings

CARDS = load_catalogue()
PAINTED = [card for card in CARDS.pipelines.values() if card.runner == "diffusion"]
FAMILIES = ("diffusers", "controlnet", "lora", "safety", "diffusers-upscale")
MODELS = [card for card in CARDS.models.values() if card.family in FAMILIES]


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, weights_folder: Path) -> Path:
    """A data home that has the embedded weights and no others."""
    weights = tmp_path / "weights"
    weights.mkdir()
    for card in CARDS.models.values():
        if (weights_folder / card.id).is_dir() and card.family != "diffusers":
            (weights / card.id).symlink_to(weights_folder / card.id)
    monkeypatch.setenv("PERGAI_HOME", str(tmp_path))
    monkeypatch.delenv("PERGAI_WEIGHTS", raising=False)
    return tmp_path


@pytest.mark.parametrize("card", PAINTED, ids=lambda card: card.id)
def test_a_pipeline_card_says_what_its_runner_understands(card: PipelineCard) -> None:
    options = options_of(card)
    assert "soft light" in prompt(options, "soft light")
    assert {PAINTER, MATTE} <= set(card.models)
    families = {role: CARDS.models[model].family for role, model in card.models.items()}
    assert families[PAINTER] == "diffusers"
    assert families.get(CONTROL, "controlnet") == "controlnet"
    assert all(family == "lora" for role, family in families.items() if role.startswith(LORA))
    assert (options.start == "set") == (SET in card.models)
    assert set(manner(card, options)["loras"]) == {(card.models[role], 1.0) for role in card.models if role == LORA}
    assert set(card.tasks) <= set(CARDS.pipelines[card.fallback].tasks)


@pytest.mark.parametrize("card", MODELS, ids=lambda card: card.id)
def test_a_model_card_pins_a_commit_and_reads_no_pickles(card: ModelCard) -> None:
    assert isinstance(card.source, HubSource)
    assert len(card.source.revision) == 40
    assert card.source.patterns
    assert all(pattern.endswith((".json", ".txt", ".safetensors")) for pattern in card.source.patterns)
    assert card.licence
    assert card.commercial_use == (card.id != "sdxl-turbo")
    weights = [file for file in card.files if file.name.endswith(".safetensors")]
    assert all(len(file.sha256) == 64 and file.bytes > 2**20 for file in weights)
    if not weights:
        assert "SHA-256" in unpinned(card)


def test_the_runner_and_the_families_are_in_the_tables() -> None:
    assert "diffusion" in RUNNERS
    assert set(FAMILIES) <= set(LOADERS)


@pytest.mark.parametrize(
    "wrong",
    [
        {"sampler": "euler"},
        {"scheduler": "pndm"},
        {"steps": "many"},
        {"lora_scales": {"lora": 0.5}},
        {"deep_cache": 0},
        {"deep_cache": 2, "gate": 0.5},
        {"gate": 0.0},
        {"template": "{words} in {place}"},
        {"template": "{words} in {"},
        {"template": "{} in a shop"},
        {"control_start": 0.8, "control_end": 0.4},
        {"refine": -0.1},
        {"refine": 1.1},
        {"steps": 6, "refine": 0.16},
    ],
)
def test_a_card_with_a_wrong_option_is_named(wrong: dict[str, object]) -> None:
    card = msgspec.structs.replace(PAINTED[0], options=wrong)
    with pytest.raises(CardError, match=rf"pipelines/{card.id}\.toml: options"):
        options_of(card)


def test_only_what_expands_is_refined() -> None:
    cards = {card.tasks: msgspec.structs.replace(card, options={"refine": 0.3}) for card in PAINTED}
    assert options_of(cards[("expand",)]).refine == 0.3
    with pytest.raises(CardError, match="refine is for pipelines that expand"):
        options_of(cards[("scene",)])


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(
    ("wrong", "says"),
    [({"determinstic": True}, "determinstic"), ({"variant": 16}, "variant"), ({"dtype": ["a"]}, "dtype")],
)
def test_a_model_card_with_a_wrong_option_is_named(
    tmp_path: Path, family: str, wrong: dict[str, object], says: str
) -> None:
    """A misspelt switch would otherwise be off without a word."""
    card = ModelCard(
        id="own", title="Own", family=family, licence="MIT", memory_mib=1, options=wrong,
        source=HubSource(repository="studio/own", revision="0"),
    )  # fmt: skip
    with pytest.raises(CardError, match=rf"models/own\.toml: options: .*{says}"):
        load_model(card, tmp_path, "cpu")


def test_what_the_cards_say_to_their_loaders_is_understood() -> None:
    kinds = dict(
        zip(FAMILIES, (PainterSwitches, ControlSwitches, LoraSwitches, NetSwitches, UpscalerSwitches), strict=True)
    )
    for card in MODELS:
        assert switches_of(card, kinds[card.family]).variant in ("", "fp16"), card.id


@pytest.mark.parametrize("wrong", [{"max_batch": 0}, {"rows": [0]}, {"warm_shapes": [[512]]}, {"graphs": "yes"}])
def test_a_painter_with_a_switch_out_of_range_is_named(tmp_path: Path, wrong: dict[str, object]) -> None:
    card = msgspec.structs.replace(CARDS.models["sdxl-inpainting"], options=wrong)
    with pytest.raises(CardError, match=rf"options: .*{next(iter(wrong))}"):
        load_model(card, tmp_path, "cpu")


def test_a_control_net_needs_a_rendered_set() -> None:
    card = CARDS.pipelines["scene-sdxl-guided"]
    with pytest.raises(CardError, match=r"models\.control needs"):
        options_of(msgspec.structs.replace(card, options={**card.options, "start": "plain"}))


def test_a_profile_puts_its_safety_checker_into_every_pipeline_that_paints(
    bare: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked = CARDS.checked_by("safety-checker").pipelines
    assert {card.id for card in checked.values() if SAFETY in card.models} == {card.id for card in PAINTED}
    assert CARDS.checked_by("") is CARDS
    with pytest.raises(CardError, match=r"engine\.safety_checker: 'u2netp' is not one of safety-checker"):
        CARDS.checked_by("u2netp")
    assert "safety-checker" not in {card.id for card in Providers(load_settings("gpu"), CARDS).needed_models()}
    monkeypatch.setenv("PERGAI_ENGINE__SAFETY_CHECKER", "safety-checker")
    assert "safety-checker" in {card.id for card in Providers(load_settings("gpu"), CARDS).needed_models()}


def test_a_warm_model_that_there_is_not_is_named(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERGAI_ENGINE__WARM", '["u2netp", "sdxl"]')
    with pytest.raises(SettingsError, match=r"engine\.warm: 'sdxl' is not one of .*u2netp"):
        Providers(load_settings("embedded"), CARDS)


def test_while_weights_are_missing_the_fallback_paints_and_the_offer_says_how_to_pull(bare: Path) -> None:
    providers = Providers(load_settings("gpu"), load_catalogue())
    offer = next(offer for offer in providers.offers("nano-banana-2") if offer.task == "scene")
    assert offer.pipeline.id == "scene-sdxl"
    assert "pergai models pull sdxl-inpainting" in offer.unavailable
    assert offer.fallback is not None
    assert providers.resolve("nano-banana-2", "scene") == ("nano-banana-2", CARDS.pipelines["render"])
    assert "sdxl-inpainting" in {card.id for card in providers.needed_models()}


def test_without_a_fallback_it_is_refused_with_the_reason(bare: Path) -> None:
    cards = load_catalogue()
    alone = {id: msgspec.structs.replace(card, fallback="") for id, card in cards.pipelines.items()}
    providers = Providers(
        load_settings("gpu"),
        replace(cards, pipelines=alone),
    )
    with pytest.raises(ProviderUnavailable, match="pergai models pull lcm-dreamshaper"):
        providers.resolve("nano-banana", "scene")


def test_a_licence_that_forbids_commerce_is_refused_until_it_is_accepted(
    bare: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cards = load_catalogue()
    models = {**cards.models, "isnet": msgspec.structs.replace(cards.models["isnet"], commercial_use=False)}
    catalogue = replace(cards, models=models)
    with pytest.raises(ProviderUnavailable, match="accept_licences"):
        Providers(load_settings("embedded"), catalogue).resolve("nano-banana", "remove-bg")
    monkeypatch.setenv("PERGAI_ACCEPT_LICENCES", '["isnet"]')
    assert Providers(load_settings("embedded"), catalogue).resolve("nano-banana", "remove-bg")[1].id == "cutout"


OWN = """
title = "House style"
family = "diffusers"
licence = "our own"
memory_mib = 4535
source = { kind = "url", urls = { "house.safetensors" = "https://weights.example.com/house.safetensors" } }
files = [{ name = "house.safetensors" }]
options = { file = "house.safetensors", base = "sd15-inpainting" }
"""


def test_a_checkpoint_of_ones_own_needs_its_base_too(bare: Path) -> None:
    for name, text in {
        "models/house.toml": OWN,
        "pipelines/scene-house.toml": 'title = "House"\nrunner = "diffusion"\ntasks = ["scene"]\n'
        'models = { diffusion = "house", matte = "u2netp" }\n',
        "own.toml": '[providers.house]\ntitle = "House"\nscene = "scene-house"\n',
    }.items():
        (bare / name).parent.mkdir(exist_ok=True)
        (bare / name).write_text(text)
    (bare / "weights" / "house").mkdir()
    (bare / "weights" / "house" / "house.safetensors").write_bytes(b"")
    providers = Providers(load_settings(str(bare / "own.toml")), load_catalogue(Home(bare)))
    assert {card.id for card in providers.needed_models()} == {"house", "u2netp", "sd15-inpainting"}
    with pytest.raises(ProviderUnavailable, match="pergai models pull sd15-inpainting`"):
        providers.resolve("house", "scene")


def test_a_base_that_there_is_not_is_an_error_of_the_card(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "house.toml").write_text(OWN.replace("sd15-inpainting", "sd14"))
    with pytest.raises(CardError, match=r"models/house\.toml: options\.base: 'sd14' is not one of .*sd15-inpainting"):
        load_catalogue(Home(tmp_path))


@pytest.mark.parametrize("fallback", ["nothing", "cutout", "scene-sd15"])
def test_a_fallback_that_does_not_do_the_task_is_an_error_of_the_card(tmp_path: Path, fallback: str) -> None:
    (tmp_path / "pipelines").mkdir()
    (tmp_path / "pipelines" / "own.toml").write_text(
        f'title = "Own"\nrunner = "diffusion"\ntasks = ["scene"]\nfallback = "{fallback}"\n'
    )
    with pytest.raises(CardError, match=r"pipelines/own\.toml: fallback"):
        load_catalogue(Home(tmp_path))
