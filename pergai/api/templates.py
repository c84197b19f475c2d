"""Scene templates."""

from litestar import get

from pergai.api.problems import problem_responses
from pergai.api.wire import Reply
from pergai.cards.catalogue import Catalogue


class TemplateView(Reply):
    id: str
    """What `scene` takes."""
    name: str
    category: str
    description: str
    prompt: str
    preview_url: str | None


@get(
    "/templates",
    operation_id="listTemplates",
    summary="List scene templates",
    tags=("Templates",),
    responses=problem_responses(401),
)
async def list_templates(catalogue: Catalogue) -> list[TemplateView]:
    return [
        TemplateView(
            id=scene.id,
            name=scene.title,
            category=scene.category,
            description=scene.description,
            prompt=scene.prompt,
            preview_url=None,
        )
        for scene in catalogue.scenes.values()
    ]
