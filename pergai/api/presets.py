"""Presets: what shops ask of a picture."""

from datetime import date

from litestar import get

from pergai.api.problems import problem_responses
from pergai.api.wire import Reply
from pergai.cards.catalogue import Catalogue


class PresetView(Reply):
    id: str
    """What `preset` takes."""
    name: str
    description: str
    source: str
    """Address of the page where the shop publishes its rules; it may have changed them since."""
    checked: bool | date
    """The day the numbers were last compared with the shop's rules; false: never, take them for a start and look there."""
    compared_with: list[str]
    """Pages they were compared with, where that was not `source` alone: others of the shop, or two or more that are not."""
    width: int
    height: int
    fill: float
    """The product's share of the frame: of its height or of its width, whichever is the tighter."""
    scene: str | None
    shadow: str
    """Of a scene: auto, none, soft or hard."""
    background: str
    """Of a cut-out: `#rrggbb` or transparent."""
    format: str
    max_bytes: int | None


@get(
    "/presets",
    operation_id="listPresets",
    summary="List presets: what shops ask of a picture",
    tags=("Presets",),
    responses=problem_responses(401),
)
async def list_presets(catalogue: Catalogue) -> list[PresetView]:
    return [
        PresetView(
            id=preset.id,
            name=preset.title,
            description=preset.description,
            source=preset.source,
            checked=preset.checked,
            compared_with=list(preset.compared_with),
            width=preset.width,
            height=preset.height,
            fill=preset.fill,
            scene=preset.scene or None,
            shadow=preset.shadow,
            background=preset.background or "transparent",
            format=preset.format,
            max_bytes=preset.max_bytes or None,
        )
        for preset in catalogue.presets.values()
    ]
