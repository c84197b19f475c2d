"""What this server can do: aiProvider names, their pipelines, models and limits, and why something is not available."""

from typing import Any

from litestar import get

from pergai.api.problems import problem_responses
from pergai.api.wire import Reply
from pergai.services.dispatcher import Dispatcher
from pergai.services.providers import Providers


class ModelView(Reply):
    id: str
    title: str
    licence: str
    commercial_use: bool
    memory_mib: int
    resident: bool


class OfferView(Reply):
    task: str
    pipeline: str
    title: str
    description: str
    models: list[ModelView]
    max_megapixels: float
    default: bool
    """A request that names no aiProvider gets this one."""
    available: bool
    unavailable_because: str | None
    fallback: str | None
    """The pipeline that does the task until this one is available."""


class ProviderView(Reply):
    name: str
    title: str
    tasks: list[OfferView]


@get(
    "/providers",
    operation_id="listProviders",
    summary="List the aiProviders",
    tags=("Providers",),
    responses=problem_responses(401),
)
async def list_providers(providers: Providers, dispatcher: Dispatcher) -> list[ProviderView]:
    resident = dispatcher.resident_models
    return [
        ProviderView(
            name=name,
            title=providers.title(name),
            tasks=[
                _offer_view(offer, resident, providers.default(offer.task) == name) for offer in providers.offers(name)
            ],
        )
        for name in providers.names
    ]


def _offer_view(offer: Any, resident: frozenset[str], default: bool) -> OfferView:
    return OfferView(
        task=offer.task,
        pipeline=offer.pipeline.id,
        title=offer.pipeline.title,
        description=offer.pipeline.description,
        models=[
            ModelView(
                id=card.id,
                title=card.title,
                licence=card.licence,
                commercial_use=card.commercial_use,
                memory_mib=card.memory_mib,
                resident=card.id in resident,
            )
            for card in offer.models
        ],
        max_megapixels=offer.pipeline.max_megapixels,
        default=default,
        available=not offer.unavailable,
        unavailable_because=offer.unavailable or None,
        fallback=offer.fallback.id if offer.fallback else None,
    )
