"""Which way the product is looked at: the request's wish, the set's, or what the photo itself tells."""

from __future__ import annotations

from typing import NamedTuple

from pergai.imaging.picture import Alpha
from pergai.runners.render.camera import DecidedView, photographed_pitch
from pergai.runners.render.spec import PhotoSet


class Viewpoint(NamedTuple):
    view: DecidedView
    pitch: float
    """Degrees the camera looks down."""
    decided_by: str
    """request, scene, photo, or default where nothing says anything."""


def decide(wanted: str, photo_set: PhotoSet, alpha: Alpha) -> Viewpoint:
    """The viewpoint for a product with this matte; `wanted`: auto, front, three-quarter or top."""
    tilt = photographed_pitch(alpha)
    by = "request" if wanted != "auto" else "scene"
    choice = wanted if wanted != "auto" else photo_set.camera.view
    own = photo_set.camera.pitch
    if choice == "top":
        return Viewpoint("top", 89.9, by)
    if choice == "three-quarter":
        return Viewpoint("three-quarter", min(max(tilt, 18.0), 55.0) if tilt is not None and tilt > 14 else 32.0, by)
    if choice == "front":
        return Viewpoint("front", own if tilt is None else min(max(tilt, own - 2.0), 14.0), by)
    if tilt is None:
        return Viewpoint("front", own, "default")
    if tilt > 14:
        return Viewpoint("three-quarter", min(tilt, 55.0), "photo")
    return Viewpoint("front", max(tilt, own - 2.0), "photo")
