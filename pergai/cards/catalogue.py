"""All cards of a server, loaded, cross-checked and looked up by id."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import msgspec

from pergai.cards.structs import Card, Category, ModelCard, PipelineCard, PresetCard, SceneCard
from pergai.cards.weights import folder_of, status
from pergai.errors import CardError
from pergai.paths import Home, packaged

LIBRARY = "library"
"""The family of what is no model itself, but helps one."""

C = TypeVar("C", bound=Card)
Listed = TypeVar("Listed", SceneCard, PresetCard)


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Every card, by id."""

    models: Mapping[str, ModelCard]
    pipelines: Mapping[str, PipelineCard]
    scenes: Mapping[str, SceneCard]
    """In the order of the list of templates."""
    presets: Mapping[str, PresetCard]
    """In the order of the list of presets."""
    categories: Mapping[str, Category]

    def needed_by(self, pipeline: PipelineCard) -> tuple[ModelCard, ...]:
        """The models of a pipeline, and those that single checkpoints among them have their configuration from."""
        cards = [self.models[id] for id in pipeline.models.values()]
        bases = [self.models[base] for card in cards if (base := card.options.get("base"))]
        return tuple({card.id: card for card in (*cards, *bases)}.values())

    def as_found(self, weights: Path) -> Catalogue:
        """The same, with the stand-in of every model that has one and whose weights are missing, in every pipeline."""
        stand_ins = {
            card.id: card.stand_in
            for card in self.models.values()
            if card.stand_in and status(card, folder_of(card, weights)) != "present"
        }
        pipelines = {
            id: msgspec.structs.replace(
                card, models={role: stand_ins.get(model, model) for role, model in card.models.items()}
            )
            for id, card in self.pipelines.items()
        }
        return replace(self, pipelines=pipelines)

    def checked_by(self, checker: str) -> Catalogue:
        """The same, with this safety checker (id of a model card; "" for none) in every pipeline that paints.

        Raises CardError when there is no such card.
        """
        if not checker:
            return self
        able = [card.id for card in self.models.values() if card.family == "safety"]
        if checker not in able:
            raise CardError(f"engine.safety_checker: {checker!r} is not one of {', '.join(able)}")
        pipelines = {
            id: msgspec.structs.replace(card, models={**card.models, "safety": checker})
            if card.runner == "diffusion"
            else card
            for id, card in self.pipelines.items()
        }
        return replace(self, pipelines=pipelines)


def load_catalogue(home: Home | None = None) -> Catalogue:
    """Read the packaged cards, then the studio's own in the data home, which replace those of the same id.

    Raises CardError naming the file and the field.
    """
    models = _load("models", ModelCard, home)
    pipelines = _load("pipelines", PipelineCard, home)
    scenes = _load("configs/scenes", SceneCard, home, overlay="scenes")
    presets = _load("configs/presets", PresetCard, home, overlay="presets")
    for card in models.values():
        if (base := card.options.get("base", "")) not in ("", *models):
            raise CardError(f"models/{card.id}.toml: options.base: {base!r} is not one of {', '.join(models)}")
        able = [other.id for other in models.values() if other.family == card.family and not other.stand_in]
        if card.stand_in not in ("", *able):
            raise CardError(f"models/{card.id}.toml: stand_in: {card.stand_in!r} is not one of {', '.join(able)}")
        libraries = [other.id for other in models.values() if other.family == LIBRARY]
        if card.helper not in ("", *libraries):
            raise CardError(f"models/{card.id}.toml: helper: {card.helper!r} is not one of {', '.join(libraries)}")
    for pipeline in pipelines.values():
        for role, model in pipeline.models.items():
            if model not in models:
                raise CardError(
                    f"pipelines/{pipeline.id}.toml: models.{role} names {model!r}, "
                    f"which is not one of {', '.join(models)}"
                )
        if pipeline.fallback:
            _check_fallback(pipeline, pipelines)
    for preset in presets.values():
        if preset.scene and preset.scene not in scenes:
            raise CardError(f"presets/{preset.id}.toml: scene: {preset.scene!r} is not one of {', '.join(scenes)}")
    return Catalogue(
        models=models,
        pipelines=pipelines,
        scenes=_ordered(scenes),
        presets=_ordered(presets),
        categories=_load_categories(home),
    )


def _ordered(cards: Mapping[str, Listed]) -> dict[str, Listed]:
    return {card.id: card for card in sorted(cards.values(), key=lambda card: (card.order, card.id))}


def _check_fallback(pipeline: PipelineCard, pipelines: Mapping[str, PipelineCard]) -> None:
    """A fallback does all its pipeline does, and has none of its own."""
    other = pipelines.get(pipeline.fallback)
    if other is None or other.fallback or not set(pipeline.tasks) <= set(other.tasks):
        able = [card.id for card in pipelines.values() if set(pipeline.tasks) <= set(card.tasks) and not card.fallback]
        raise CardError(
            f"pipelines/{pipeline.id}.toml: fallback: {pipeline.fallback!r} is not one of {', '.join(able)}"
        )


def read_toml(path: Path) -> dict[str, object]:
    """One TOML file. Raises CardError naming the file and the line."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise CardError(f"{path}: {error}") from error


def _load(folder: str, kind: type[C], home: Home | None, overlay: str = "") -> dict[str, C]:
    cards: dict[str, C] = {}
    for path in _card_files(folder, home, overlay or folder):
        try:
            card = msgspec.convert({"id": path.stem, **read_toml(path)}, kind)
        except msgspec.ValidationError as error:
            raise CardError(f"{path}: {error}") from error
        if card.id != path.stem:
            raise CardError(f"{path}: id is {card.id!r}, but the file's name says {path.stem!r}")
        cards[card.id] = card
    return cards


def _card_files(folder: str, home: Home | None, overlay: str) -> Iterator[Path]:
    yield from sorted(packaged(folder).glob("*.toml"))
    if home is not None:
        yield from sorted(home.overlay(overlay).glob("*.toml"))


def _load_categories(home: Home | None) -> dict[str, Category]:
    path = packaged("configs") / "categories.toml"
    if home is not None and (own := home.overlay("categories.toml")).is_file():
        path = own
    try:
        listed = msgspec.convert(read_toml(path).get("categories", []), list[Category])
    except msgspec.ValidationError as error:
        raise CardError(f"{path}: {error}") from error
    return {category.id: category for category in listed}
