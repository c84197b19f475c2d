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
    """The day the numbers were last compared with that page; false: never, take them for a start and look there."""
    width: int
    height: int
    fill: float
    """The product's share of the frame: of its height or of its width, whichever is the tighter."""
    scene: str | None
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
            width=preset.width,
            height=preset.height,
            fill=preset.fill,
            scene=preset.scene or None,
            background=preset.background or "transparent",
            format=preset.format,
            max_bytes=preset.max_bytes or None,
        )
        for preset in catalogue.presets.values()
    ]
