"""From what a client asks for to what a job needs: names resolved, sizes decided, limits kept. Pure but for the product's row.

Each function returns the columns of a generation row. All errors name the field and the choices.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

from pergai.cards.choice import choose
from pergai.cards.structs import PipelineCard, PresetCard, SceneCard
from pergai.engine.core import Area, ExpandParams, Further, Placement, RemoveBgParams, SceneParams, UpscaleParams
from pergai.errors import FieldError, InvalidRequest, PergaiError, UnknownScene
from pergai.imaging.ratios import canvas_size, expand_size, parse_ratio, parse_resolution

DEFAULT_BUDGET = 1024 * 1024
DEFAULT_RATIO = "1:1"
SCALES = {"1x": 1, "2x": 2, "4x": 4}
REPEATED = (
    *("library", "product_id", "kind", "scene", "prompt", "negative_prompt", "provider", "pipeline", "seed", "variant"),
    *("aspect_ratio", "width", "height", "format", "params", "source_key", "source_sha256", "webhook_url"),
)
"""The columns of a generation that say what was asked for."""
DEEP_FORMATS = ("png", "tiff", "psd")
CHOSEN = "auto"
"""The scene that says: let the prompt choose."""
COLOURS = {"white": "#ffffff", "black": "#000000", "grey": "#808080", "gray": "#808080"}


def wrong(pointer: str, detail: str) -> InvalidRequest:
    return InvalidRequest(detail, errors=[FieldError(pointer, detail)])


def preset(asked: Mapping[str, Any], presets: Mapping[str, PresetCard]) -> PresetCard | None:
    """The preset that is asked for, if any."""
    name = asked.get("preset")
    if name is None:
        return None
    if name not in presets:
        raise wrong("/preset", f"{name[:100]!r} is not a preset; choose one of {', '.join(presets)}")
    return presets[name]


def scene(
    asked: Mapping[str, Any],
    scenes: Mapping[str, SceneCard],
    preset: PresetCard | None,
    pipeline: PipelineCard,
    max_megapixels: float,
    further: Sequence[Any] = (),
) -> dict[str, Any]:
    """`asked`: scene, prompt, negative_prompt, aspect_ratio, resolution, placement, view, shadow, bit_depth, pose, relight,
    variant, colours, safe_area.
    `further`: rows of the other products.
    """
    own_scale = (asked.get("placement") or {}).get("scale") is not None
    asked = _with_preset(asked, preset)
    _require_rendered(asked, pipeline)
    if asked.get("scene") == CHOSEN or (not asked.get("scene") and asked.get("prompt")):
        asked["scene"] = choose(scenes, asked.get("prompt") or "", asked.get("negative_prompt") or "").id
    if not asked.get("scene"):
        choices = ", ".join((CHOSEN, *scenes))
        raise wrong(
            "/scene", f"scene is required; choose one of {choices}, or give a customPrompt or a preset that has one"
        )
    card = scenes.get(asked["scene"])
    if card is None:
        detail = f"{asked['scene'][:100]!r} is not a scene; choose one of {', '.join((CHOSEN, *scenes))}"
        raise UnknownScene(detail, errors=[FieldError("/scene", detail)])
    ratio = asked.get("aspect_ratio") or DEFAULT_RATIO
    with _blaming("/aspectRatio"):
        shape = parse_ratio(ratio)
    with _blaming("/resolution"):
        resolution = parse_resolution(asked["resolution"]) if asked.get("resolution") else None
        width, height = canvas_size(shape, resolution, DEFAULT_BUDGET)
    _require_size(width, height, pipeline, max_megapixels, "/resolution" if resolution else "/aspectRatio")
    params = SceneParams(
        **_file(asked, preset),
        scene=card.id,
        width=width,
        height=height,
        prompt=asked.get("prompt") or "",
        negative_prompt=asked.get("negative_prompt") or "",
        placement=Placement(**(asked.get("placement") or {})),
        view=asked.get("view") or "auto",
        shadow=asked.get("shadow") or "auto",
        pose=_pose(asked),
        lock_camera=bool(asked.get("lock_camera")),
        real_height_mm=_real_height(asked, card, own_scale, bool(further)),
        frame_mm=card.frame_mm,
        relight=asked.get("relight") or "none",
        variant=asked.get("variant") or 0,
        colours=tuple(asked.get("colours") or ()),
        safe_area=Area(**asked["safe_area"]) if asked.get("safe_area") else None,
        further=tuple(
            Further(product=str(row.id), source_key=row.image_key, source_sha256=row.image_sha256) for row in further
        ),
    )
    return {
        "scene": card.id,
        "prompt": asked.get("prompt"),
        "negative_prompt": asked.get("negative_prompt"),
        "aspect_ratio": ratio,
        "width": width,
        "height": height,
        "params": asdict(params),
    }


SMALLEST, LARGEST = 0.02, 1.5
"""A product's height over the picture's, where it follows from its real size."""


def _real_height(asked: Mapping[str, Any], card: SceneCard, own_scale: bool, group: bool) -> float:
    height = asked.get("real_height_mm")
    if height is None:
        return 0.0
    if own_scale:
        raise wrong(
            "/realHeightMm", "realHeightMm and placement.scale exclude each other: both say how large the product is"
        )
    if group:
        raise wrong("/realHeightMm", "realHeightMm is for one product; leave productIds or realHeightMm out")
    if not SMALLEST <= height / card.frame_mm <= LARGEST:
        low, high = SMALLEST * card.frame_mm, LARGEST * card.frame_mm
        raise wrong(
            "/realHeightMm",
            f"the picture's height shows {card.frame_mm:g} mm of the scene {card.id}: realHeightMm must be {low:g} to {high:g}",
        )
    return float(height)


_VIEWS = {"lying": ("auto", "top"), "hanging": ("auto", "front"), "floating": ("auto", "front", "three-quarter")}
"""What a pose can be seen from."""


def _pose(asked: Mapping[str, Any]) -> Any:
    if asked.get("lock_camera") and asked.get("pose") in ("hanging", "floating"):
        raise wrong(
            "/pose", f"with lockCamera a product is standing or lying, not {asked['pose']}: its set would follow it"
        )
    pose, view = asked.get("pose") or "standing", asked.get("view") or "auto"
    if view not in _VIEWS.get(pose, (view,)):
        raise wrong("/view", f"a product that is {pose} is seen from {' or '.join(_VIEWS[pose])}, not from {view}")
    return pose


def _with_preset(asked: Mapping[str, Any], preset: PresetCard | None) -> dict[str, Any]:
    """What is asked of a scene; the preset fills what is left out. A shape of one's own leaves only its pixels to the preset."""
    if preset is None:
        return dict(asked)
    placement = {"scale": preset.fill, "x": 0.5, "y": 0.5, "anchor": "center"}
    own = {name: value for name, value in (asked.get("placement") or {}).items() if value not in (None, "auto")}
    return {
        **asked,
        "scene": asked.get("scene") or preset.scene,
        "aspect_ratio": asked.get("aspect_ratio") or f"{preset.width}:{preset.height}",
        "resolution": asked.get("resolution") or f"{preset.width}x{preset.height}",
        "placement": {**placement, **own},
        "shadow": preset.shadow if asked.get("shadow") in (None, "auto") else asked["shadow"],
    }


def _file(asked: Mapping[str, Any], preset: PresetCard | None = None) -> dict[str, Any]:
    """The fields of FileParams."""
    own = {"preset": preset.id, "max_bytes": preset.max_bytes} if preset else {}
    depth = asked.get("bit_depth") or 8
    if depth == 16 and (asked.get("format") or (preset.format if preset else "png")) not in DEEP_FORMATS:
        raise wrong("/bitDepth", f"bitDepth 16 needs one of the formats {', '.join(DEEP_FORMATS)}")
    return {**own, "dpi": asked.get("dpi") or 0, "bit_depth": depth}


def _require_rendered(asked: Mapping[str, Any], pipeline: PipelineCard) -> None:
    """Layers and 16 bits come from rendered light; a painted scene has neither."""
    if pipeline.runner == "render":
        return
    if asked.get("format") == "psd":
        raise wrong("/format", f"{pipeline.id} paints its scenes and has no layers for a psd; choose another format")
    if asked.get("bit_depth") == 16:
        raise wrong("/bitDepth", f"{pipeline.id} paints its scenes with 8 bits a channel")
    if asked.get("pose") in ("hanging", "floating"):
        raise wrong("/pose", f"{pipeline.id} paints its scenes; only standing and lying are possible")
    if asked.get("lock_camera"):
        raise wrong(
            "/lockCamera", f"{pipeline.id} paints its scenes, each anew; leave lockCamera out or use a rendered scene"
        )
    if asked.get("relight") == "match":
        raise wrong("/relight", f"{pipeline.id} paints its scenes and knows no light to match; only none is possible")


def _require_no_layers(asked: Mapping[str, Any]) -> None:
    if asked.get("format") == "psd":
        raise wrong("/format", "psd is for scenes and remove-bg: here are no layers; choose another format")


def remove_bg(
    asked: Mapping[str, Any], product: Any, preset: PresetCard | None, pipeline: PipelineCard, max_megapixels: float
) -> dict[str, Any]:
    """`asked`: background, crop, margin, mask_only, shadow. A preset sets the size and puts the product into its middle."""
    background = (asked.get("background") or (preset.background if preset else "")).lower()
    background = COLOURS.get(background, background)
    if background in ("", "transparent"):
        background = ""
    elif not re.fullmatch(r"#[0-9a-f]{6}", background):
        raise wrong("/background", f"background must be #rrggbb, transparent or one of {', '.join(COLOURS)}")
    crop, margin = bool(asked.get("crop")), asked.get("margin")
    if crop and preset:
        raise wrong("/crop", f"crop and preset exclude each other: {preset.id} is {preset.width}x{preset.height}")
    if margin and not (crop or preset):
        raise wrong("/margin", "margin needs crop: true or a preset")
    shadow, mask_only = asked.get("shadow") or "none", bool(asked.get("mask_only"))
    if mask_only:
        _require_no_layers(asked)
    if mask_only and asked.get("bit_depth") == 16:
        raise wrong("/bitDepth", "a matte has 8 bits; leave bitDepth or maskOnly out")
    if shadow != "none" and mask_only:
        raise wrong("/shadow", "a matte has no shadow; leave shadow or maskOnly out")
    if shadow != "none" and "engine" not in pipeline.models:
        raise wrong(
            "/shadow", f"{pipeline.id} has no renderer for shadows (`models.engine` of its card); only none is possible"
        )
    frame: dict[str, Any] = {}
    if preset:
        _require_size(preset.width, preset.height, pipeline, max_megapixels, "/preset")
        fill = preset.fill if margin is None else 1 / (1 + 2 * margin)
        frame = {"width": preset.width, "height": preset.height, "fill": fill}
    params = RemoveBgParams(
        background=background,
        crop=crop,
        margin=float(margin or 0.0),
        mask_only=mask_only,
        shadow=shadow,  # type: ignore[arg-type]
        **frame,
        **_file(asked, preset),
    )
    width, height = (None, None) if crop else (product.width, product.height)
    return {"width": params.width or width, "height": params.height or height, "params": asdict(params)}


def upscale(asked: Mapping[str, Any], product: Any, pipeline: PipelineCard, max_megapixels: float) -> dict[str, Any]:
    """`asked`: scale, width, height, use_sharp."""
    _require_no_layers(asked)
    scale = asked.get("scale") or "1x"
    if scale not in SCALES:
        raise wrong("/scale", f"scale must be one of {', '.join(SCALES)}")
    factor = SCALES[scale]
    given = (asked.get("width"), asked.get("height"))
    width = given[0] or (round(product.width * given[1] / product.height) if given[1] else product.width)
    height = given[1] or (round(product.height * given[0] / product.width) if given[0] else product.height)
    width, height = max(1, width), max(1, height)
    _require_size(width * factor, height * factor, pipeline, max_megapixels, "/scale")
    params = UpscaleParams(
        **_file(asked),
        scale=factor,  # type: ignore[arg-type]
        width=width if any(given) else None,
        height=height if any(given) else None,
        use_sharp=asked.get("use_sharp", True) is not False,
    )
    return {"width": width * factor, "height": height * factor, "params": {**asdict(params)}}


def expand(asked: Mapping[str, Any], product: Any, pipeline: PipelineCard, max_megapixels: float) -> dict[str, Any]:
    """`asked`: ratio, resolution, prompt."""
    _require_no_layers(asked)
    with _blaming("/ratio"):
        ratio = parse_ratio(asked["ratio"])
    with _blaming("/resolution"):
        resolution = parse_resolution(asked["resolution"]) if asked.get("resolution") else None
        width, height = expand_size(product.width, product.height, ratio, resolution)
    _require_size(width, height, pipeline, max_megapixels, "/resolution" if resolution else "/ratio")
    params = ExpandParams(width=width, height=height, prompt=asked.get("prompt") or "", **_file(asked))
    return {
        "prompt": asked.get("prompt"),
        "aspect_ratio": asked["ratio"],
        "width": width,
        "height": height,
        "params": asdict(params),
    }


def again(row: Any, scenes: Mapping[str, SceneCard], pipeline: PipelineCard, max_megapixels: float) -> dict[str, Any]:
    """The columns of a record that is to be made once more; what it asked for must still be allowed."""
    if row.scene is not None and row.scene not in scenes:
        raise UnknownScene(f"the scene {row.scene!r} is not among this server's cards any more")
    _require_size(row.width or 0, row.height or 0, pipeline, max_megapixels, "")
    return {name: getattr(row, name) for name in REPEATED}


def _require_size(width: int, height: int, pipeline: PipelineCard, max_megapixels: float, pointer: str) -> None:
    most = min(pipeline.max_megapixels, max_megapixels)
    if width * height > most * 1_000_000:
        raise wrong(pointer, f"the result would be {width}x{height}; {pipeline.id} makes at most {most:g} megapixels")


@contextmanager
def _blaming(pointer: str) -> Iterator[None]:
    """Say which field an error of a parser belongs to."""
    try:
        yield
    except PergaiError as error:
        error.errors = (FieldError(pointer, error.detail),)
        raise
