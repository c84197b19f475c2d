"""What is photographed: decoded, cut out, and placed on its canvas, ready for a set or for a painted scene."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pergai.engine.core import Desk, Job, SceneParams
from pergai.errors import NoProductFound
from pergai.imaging.composite import foreground_deep
from pergai.imaging.decode import decode
from pergai.imaging.picture import Matte, Picture
from pergai.imaging.placement import Placed, Spot, place
from pergai.runners.cutout import cut_out
from pergai.runners.render import develop, viewpoint
from pergai.runners.render.camera import DecidedView
from pergai.runners.render.spec import PhotoSet


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A product on its canvas, and how it is looked at."""

    placed: Placed
    view: DecidedView
    pitch: float
    """Degrees the camera looks down."""
    noise: float = 0.0
    """The source's own grain at this size, a deviation in 1/255."""
    notes: tuple[str, ...] = ()
    """The source's, and `product_enlarged` where it has fewer pixels than the picture shows."""
    details: Mapping[str, Any] = field(default_factory=dict)
    """For the record: view, what decided it, the camera's pitch, placement."""


async def take_up(job: Job, desk: Desk, params: SceneParams, photo_set: PhotoSet, model: str) -> Subject:
    """Decode and cut out the job's product with the segmentation net `model`, decide the view, place it.

    Raises UnreadableImage, ModelUnavailable, NoProductFound.
    """
    source = await desk.cpu(lambda: decode(Path(job.source), keep_depth=params.bit_depth == 16))
    matte = await cut_out(job, desk, source, model)
    return await desk.cpu(stood, photo_set, params, source, matte)


def stood(photo_set: PhotoSet, params: SceneParams, source: Picture, matte: Matte) -> Subject:
    """The product where the request, or else the scene, wants it. Raises NoProductFound when the matte is empty."""
    view, pitch, decided_by = viewpoint.decide(params.view, photo_set, matte.alpha)
    deep = None if source.deep is None else foreground_deep(source.deep, matte)
    placed = place(matte, params.width, params.height, spot(params, photo_set, view), deep)
    if placed is None or not (placed.alpha >= 128).any():
        raise NoProductFound("the cut-out is empty: no product was found in the image, or it lies outside the picture")
    box = placed.box
    return Subject(
        placed=placed,
        view=view,
        pitch=pitch,
        noise=develop.source_noise(source.pixels, matte.alpha) * min(1.0, 0.4 + 0.6 / max(placed.scale, 1e-3)),
        notes=(*source.notes, *(("product_enlarged",) if placed.scale > 1.5 else ())),
        details={
            "view": view,
            "viewDecidedBy": decided_by,
            "cameraPitch": round(pitch, 1),
            "placement": {"scale": round(placed.scale, 4), "box": [box.left, box.top, box.right, box.bottom]},
        },
    )


def spot(params: SceneParams, photo_set: PhotoSet, view: DecidedView) -> Spot:
    """Where the product goes: as the request says, else as the scene does."""
    asked, camera = params.placement, photo_set.camera
    top = view == "top"
    tall = asked.scale if asked.scale is not None else min(camera.scale * (1.1 if top else 1.0), 1.0)
    wide = asked.scale if asked.scale is not None else min(camera.scale * 1.3, 0.8)
    anchor = asked.anchor if asked.anchor != "auto" else ("center" if top else "bottom")
    base = {"center": 0.5, "bottom": camera.base if view == "front" else min(camera.base, 0.78), "top": 0.15}[anchor]
    return Spot(
        height=tall,
        width=wide,
        x=asked.x if asked.x is not None else 0.5,
        y=asked.y if asked.y is not None else base,
        anchor=anchor,
    )
