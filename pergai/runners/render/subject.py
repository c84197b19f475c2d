"""What is photographed: decoded, cut out, and placed on its canvas, ready for a set or for a painted scene."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from pergai.engine.core import Desk, Job, Pose, SceneParams
from pergai.errors import NoProductFound, ProductDeleted
from pergai.imaging.composite import foreground_deep, inside, stacked
from pergai.imaging.decode import decode
from pergai.imaging.picture import Matte, Picture
from pergai.imaging.placement import Box, Placed, Spot, bounding_box, place
from pergai.runners.cutout import cut_out, noted
from pergai.runners.render import develop, viewpoint
from pergai.runners.render.arrange import arrange
from pergai.runners.render.camera import DecidedView
from pergai.runners.render.safe_area import beside
from pergai.runners.render.spec import PhotoSet
from pergai.runners.render.variation import pitched, variation

LOCKED_NOISE = 1.0
"""Grain of a set that many products share, whatever their photos have."""
NOTHING = "the cut-out is empty: no product was found in the image, or it lies outside the picture"


class Photo(NamedTuple):
    """A product's photo and its cut-out."""

    source: Picture
    matte: Matte


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """One product or a group on its canvas, and how it is looked at."""

    placed: Placed
    """All of it."""
    bodies: tuple[Placed, ...]
    """Each product alone, the farthest first."""
    where: npt.NDArray[np.bool_]
    """(height, width): where the receipt is taken, inside each product and away from those in front of it."""
    view: DecidedView
    pitch: float
    """Degrees the camera looks down."""
    pose: Pose = "standing"
    noise: float = 0.0
    """The source's own grain at this size, a deviation in 1/255."""
    notes: tuple[str, ...] = ()
    """The sources' and cut-outs', `product_enlarged` where one has fewer pixels than the picture shows, and
    `product_exceeds_frame`."""
    details: Mapping[str, Any] = field(default_factory=dict)
    """For the record: view, what decided it, the camera's pitch, placement."""


async def take_up(job: Job, desk: Desk, params: SceneParams, photo_set: PhotoSet, model: str) -> Subject:
    """Decode and cut out the job's products with the segmentation net `model`, decide the view, place them.

    Raises UnreadableImage, ModelUnavailable, NoProductFound, ProductDeleted.
    """
    if not all(Path(path).exists() for path in job.further_sources):
        raise ProductDeleted("a product of the group was deleted before the job ran")
    photos = []
    for path in (job.source, *job.further_sources):
        source = await desk.cpu(lambda path=path: decode(Path(path), keep_depth=params.bit_depth == 16))
        photos.append(Photo(source, await cut_out(job, desk, source, model)))
    return await desk.cpu(stood, photo_set, params, photos)


def stood(photo_set: PhotoSet, params: SceneParams, photos: Sequence[Photo]) -> Subject:
    """The products where the request, or else the scene, wants them. Raises NoProductFound when a matte is empty."""
    if params.lock_camera:
        view, pitch, decided_by, evidence = viewpoint.locked(params.view, params.pose, photo_set)
    else:
        view, pitch, decided_by, evidence = viewpoint.decide(params.view, params.pose, photo_set, photos[0].matte.alpha)
    pitch = pitched(pitch, view, variation(params.variant))
    bodies = _placed(photo_set, params, photos, view)
    if any(body is None or not (body.alpha >= 128).any() for body in bodies):
        raise NoProductFound(NOTHING)
    whole = [body for body in bodies if body is not None]
    placed, where = (whole[0], inside(whole[0].alpha)) if len(whole) == 1 else _together(whole)
    scale = max(body.scale for body in whole)
    return Subject(
        placed=placed,
        bodies=tuple(whole),
        where=where,
        view=view,
        pitch=pitch,
        pose=params.pose,
        noise=LOCKED_NOISE if params.lock_camera else _noise(photos[0], placed.scale),
        notes=(*_notes(photos, scale), *(() if _fits(placed) else ("product_exceeds_frame",))),
        details={
            "view": view,
            "viewDecidedBy": decided_by,
            "viewEvidence": evidence,
            "cameraPitch": round(pitch, 1),
            **({"pose": params.pose} if params.pose != "standing" else {}),
            "placement": {"scale": round(placed.scale, 4), "box": _corners(placed.box)},
            **({"products": [_corners(body.box) for body in whole]} if len(whole) > 1 else {}),
        },
    )


def _placed(
    photo_set: PhotoSet, params: SceneParams, photos: Sequence[Photo], view: DecidedView
) -> Sequence[Placed | None]:
    """Each product on the canvas, the farthest first."""
    width, height = params.width, params.height
    deep = [None if source.deep is None else foreground_deep(source.deep, matte) for source, matte in photos]
    where = spot(params, photo_set, view)
    boxes = [bounding_box(matte.alpha) for _, matte in photos]
    if any(box is None for box in boxes):
        return [None]
    if len(photos) == 1:
        if params.safe_area is not None and boxes[0] is not None:
            where = beside(params.safe_area, where, (boxes[0].width, boxes[0].height), (width, height))
        return [place(photos[0].matte, width, height, where, deep[0])]
    group = arrange([(box.width, box.height) for box in boxes if box is not None], lying=view == "top")
    if params.safe_area is not None:
        where = beside(params.safe_area, where, (group.width, group.height), (width, height))
    unit = min(where.height * height / group.height, min(where.width * 1.25, 0.92) * width / group.width)
    top = where.y * height - {"bottom": group.height, "center": group.height / 2, "top": 0.0}[where.anchor] * unit
    placed = []
    for i in group.order:
        seat, box = group.seats[i], boxes[i]
        if box is None:
            continue
        seated = Spot(
            height=seat.scale * unit * box.height / height,
            width=1e9,
            x=where.x + seat.x * unit / width,
            y=(top + seat.base * unit) / height,
            anchor="bottom",
        )
        placed.append(place(photos[i].matte, width, height, seated, deep[i]))
    return placed


def _together(bodies: Sequence[Placed]) -> tuple[Placed, npt.NDArray[np.bool_]]:
    """A group as one cut-out, and where each product is seen solid."""
    placed = stacked(bodies)
    where = np.zeros(placed.alpha.shape, np.bool_)
    for body in bodies:
        where &= body.alpha == 0
        where |= inside(body.alpha)
    return placed, where


def _noise(photo: Photo, scale: float) -> float:
    return develop.source_noise(photo.source.pixels, photo.matte.alpha) * min(1.0, 0.4 + 0.6 / max(scale, 1e-3))


def _fits(placed: Placed) -> bool:
    height, width = placed.alpha.shape
    box = placed.box
    return box.left >= 0 and box.top >= 0 and box.right <= width and box.bottom <= height


def _notes(photos: Sequence[Photo], scale: float) -> tuple[str, ...]:
    found = [note for source, matte in photos for note in noted(source, matte)]
    return tuple(dict.fromkeys(found + (["product_enlarged"] if scale > 1.5 else [])))


def _corners(box: Box) -> list[int]:
    return [box.left, box.top, box.right, box.bottom]


def spot(params: SceneParams, photo_set: PhotoSet, view: DecidedView) -> Spot:
    """Where the product goes: as the request says, else as the scene does."""
    asked, camera = params.placement, photo_set.camera
    in_the_air = params.pose in ("hanging", "floating")
    middle = view == "top" or in_the_air
    tall = asked.scale if asked.scale is not None else min(camera.scale * (1.1 if view == "top" else 1.0), 1.0)
    wide = asked.scale if asked.scale is not None else min(camera.scale * 1.3, 0.8)
    if params.real_height_mm:
        tall, wide = params.real_height_mm / params.frame_mm, 1e9
    anchor = asked.anchor if asked.anchor != "auto" else ("center" if middle else "bottom")
    base = {
        "center": 0.47 if in_the_air else 0.5,
        "bottom": camera.base if view == "front" else min(camera.base, 0.78),
        "top": 0.15,
    }[anchor]
    return Spot(
        height=tall,
        width=wide,
        x=asked.x if asked.x is not None else 0.5,
        y=asked.y if asked.y is not None else base,
        anchor=anchor,
    )
