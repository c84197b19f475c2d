"""aiProvider names: which pipeline does a task, and whether it can be done here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from pergai.cards.catalogue import Catalogue
from pergai.cards.structs import TASKS, ModelCard, PipelineCard, Provider, Task
from pergai.cards.weights import status
from pergai.errors import FieldError, PipelineUnavailable, ProviderUnavailable, SettingsError, UnknownProvider
from pergai.settings import Settings


@dataclass(frozen=True, slots=True)
class TaskOffer:
    """One task of one provider."""

    task: Task
    pipeline: PipelineCard
    models: tuple[ModelCard, ...]
    unavailable: str
    """Why it cannot be done here; "" when it can."""
    fallback: PipelineCard | None = None
    """What does the task as long as it is unavailable, if anything does."""


class Providers:
    """The map aiProvider → task → pipeline of the profile, cross-checked with the cards.

    Raises SettingsError at construction when the profile names a pipeline that there is not, or one that does not do the task.
    """

    def __init__(self, settings: Settings, catalogue: Catalogue) -> None:
        self._weights = settings.paths.weights
        self._wanted = catalogue.checked_by(settings.engine.safety_checker)
        self._catalogue = self._wanted.as_found(self._weights)
        self._accepted = frozenset(settings.accept_licences)
        for key, names in (("engine.warm", settings.engine.warm), ("accept_licences", settings.accept_licences)):
            for name in names:
                if name not in catalogue.models:
                    raise SettingsError(f"{key}: {name!r} is not one of {', '.join(catalogue.models)}")
        self._providers = {name: _provider(name, entry) for name, entry in settings.providers.items()}
        if not self._providers:
            raise SettingsError("the profile names no providers; see configs/embedded.toml")
        self._defaults: Mapping[str, str] = {**dict.fromkeys(TASKS, next(iter(self._providers))), **settings.defaults}
        for name in self._providers:
            for task in TASKS:
                self._check(name, task)
        for key, name in self._defaults.items():
            if key not in TASKS or name not in self._providers:
                raise SettingsError(f"defaults.{key}: {name!r} is not one of {', '.join(self._providers)}")

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._providers)

    def title(self, name: str) -> str:
        return self._providers[name].title

    def default(self, task: Task) -> str:
        return self._defaults[task]

    def resolve(self, name: str | None, task: Task) -> tuple[str, PipelineCard]:
        """The provider's name and the pipeline that does the task.

        Raises UnknownProvider naming the choices, or ProviderUnavailable with the reason.
        """
        name = name or self._defaults[task]
        provider = self._providers.get(name)
        if provider is None or not provider.pipeline_for(task):
            able = [choice for choice, entry in self._providers.items() if entry.pipeline_for(task)]
            what = "is not an aiProvider of this server" if provider is None else f"does not do {task}"
            detail = f"{name!r} {what}; choose one of {', '.join(able)}"
            raise UnknownProvider(detail, errors=[FieldError("/aiProvider", detail)])
        offer = self._offer(provider.pipeline_for(task), task)
        if offer.fallback is not None:
            return name, offer.fallback
        if offer.unavailable:
            detail = f"{name!r} cannot do {task} here: {offer.unavailable}"
            raise ProviderUnavailable(detail, errors=[FieldError("/aiProvider", detail)])
        return name, offer.pipeline

    def pipeline(self, id: str, task: Task) -> PipelineCard:
        """The pipeline of an older record, never its fallback: what it made can only be made again by itself.

        Raises PipelineUnavailable with the reason.
        """
        card = self._catalogue.pipelines.get(id)
        if card is None or task not in card.tasks:
            what = "is not among this server's cards any more" if card is None else f"does not do {task} any more"
            raise PipelineUnavailable(f"the pipeline {id!r} {what}; ask for a new generation instead")
        if reason := self._offer(id, task).unavailable:
            raise PipelineUnavailable(f"the pipeline {id!r} cannot run here now: {reason}")
        return card

    def offers(self, name: str) -> list[TaskOffer]:
        """Everything a provider does, and what keeps it from it."""
        provider = self._providers[name]
        return [self._offer(pipeline, task) for task in TASKS if (pipeline := provider.pipeline_for(task))]

    def needed_models(self) -> list[ModelCard]:
        """The model cards of every pipeline the profile can use, without those that are shut, their stand-ins and helpers."""
        wanted = {
            model.id: model
            for name in self._providers
            for offer in self.offers(name)
            if not offer.pipeline.unavailable
            for model in self._wanted.needed_by(self._wanted.pipelines[offer.pipeline.id])
        }
        others = (self._wanted.models[id] for card in wanted.values() for id in (card.stand_in, card.helper) if id)
        return list({card.id: card for card in (*wanted.values(), *others)}.values())

    def is_replaced(self, model: str) -> bool:
        """Whether everything that needs this model has a fallback or a stand-in that can do its task here, or can do without."""
        needing = [
            offer
            for name in self._providers
            for offer in self.offers(name)
            if model in (card.id for card in offer.models)
        ]
        return all(offer.fallback is not None for offer in needing)

    def _offer(self, pipeline_id: str, task: Task) -> TaskOffer:
        pipeline = self._catalogue.pipelines[pipeline_id]
        models = self._catalogue.needed_by(pipeline)
        reason = pipeline.unavailable or self._lacking(models)
        fallback = None
        if reason and pipeline.fallback:
            other = self._offer(pipeline.fallback, task)
            fallback = None if other.unavailable else other.pipeline
        return TaskOffer(task, pipeline, models, reason, fallback)

    def _lacking(self, models: tuple[ModelCard, ...]) -> str:
        for card in models:
            if not card.commercial_use and card.id not in self._accepted:
                return (
                    f"the licence of {card.id} ({card.licence}) forbids commercial use; "
                    f"if yours is none, name it in accept_licences or say --accept-licence {card.id}"
                )
        lacking = [card.id for card in models if status(card, self._weights / card.id) != "present"]
        return (
            f"weights are missing: {', '.join(lacking)} (`pergai models pull {' '.join(lacking)}`)" if lacking else ""
        )

    def _check(self, name: str, task: Task) -> None:
        pipeline_id = self._providers[name].pipeline_for(task)
        if not pipeline_id:
            return
        pipeline = self._catalogue.pipelines.get(pipeline_id)
        if pipeline is None:
            raise SettingsError(
                f"providers.{name}.{task}: {pipeline_id!r} is not one of {', '.join(self._catalogue.pipelines)}"
            )
        if task not in pipeline.tasks:
            raise SettingsError(
                f"providers.{name}.{task}: the pipeline {pipeline_id!r} does {', '.join(pipeline.tasks)}"
            )


def _provider(name: str, entry: Mapping[str, str]) -> Provider:
    try:
        return msgspec.convert(dict(entry), Provider)
    except msgspec.ValidationError as error:
        raise SettingsError(f"providers.{name}: {error}") from error
