"""Scene templates."""

from pathlib import Path

from litestar import get
from litestar.static_files import create_static_files_router

from pergai.api.links import Links
from pergai.api.problems import problem_responses
from pergai.api.wire import Reply
from pergai.cards.catalogue import Catalogue
from pergai.paths import packaged


class TemplateView(Reply):
    id: str
    """What `scene` takes."""
    name: str
    category: str
    description: str
    prompt: str
    frame_mm: float
    """How many millimetres a picture's height shows at the product: what `realHeightMm` is measured by."""
    preview_url: str | None


PREVIEWS = packaged("configs") / "previews"

previews_router = create_static_files_router(
    path="/previews", directories=[PREVIEWS], include_in_schema=False, name="previews"
)


def preview(scene: str) -> Path:
    """Rendered by `pergai scenes render --out configs/previews`."""
    return PREVIEWS / f"{scene}.webp"


@get(
    "/templates",
    operation_id="listTemplates",
    summary="List scene templates",
    tags=("Templates",),
    responses=problem_responses(401),
)
async def list_templates(catalogue: Catalogue, links: Links) -> list[TemplateView]:
    return [
        TemplateView(
            id=scene.id,
            name=scene.title,
            category=scene.category,
            description=scene.description,
            prompt=scene.prompt,
            frame_mm=scene.frame_mm,
            preview_url=links.at(f"/previews/{scene.id}.webp") if preview(scene.id).is_file() else None,
        )
        for scene in catalogue.scenes.values()
    ]
