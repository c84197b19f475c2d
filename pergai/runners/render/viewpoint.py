"""Which way the product is looked at: the request's wish, the set's, or what the photo itself tells."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from pergai.engine.core import Pose
from pergai.imaging.picture import Alpha
from pergai.imaging.placement import bounding_box
from pergai.runners.render.camera import DecidedView, photographed_pitch
from pergai.runners.render.spec import PhotoSet

THREE_QUARTER = 14.0
"""Degrees: photographed from farther above than this, it is no front view any more."""


class Viewpoint(NamedTuple):
    view: DecidedView
    pitch: float
    """Degrees the camera looks down."""
    decided_by: str
    """request, scene, photo, or default where nothing says anything."""
    evidence: str
    """What the photo shows of its own viewpoint, in words."""


def decide(wanted: str, pose: Pose, photo_set: PhotoSet, alpha: Alpha) -> Viewpoint:
    """The viewpoint for a product with this matte; `wanted`: auto, front, three-quarter or top.

    What lies is seen from above, what hangs from the front. By the photo: a round foot gives away the camera's height; a
    slender thing that lies askew could not have stood before the camera, so it was photographed from above.
    """
    tilt = photographed_pitch(alpha)
    askew = tilt is None and lies_askew(alpha)
    evidence = "a round foot" if tilt else "a straight foot" if tilt == 0 else "lies askew" if askew else "none"
    by_pose: dict[Pose, str] = {"lying": "top", "hanging": "front"}
    asked = by_pose.get(pose, wanted)
    choice = asked if asked != "auto" else photo_set.camera.view
    by = "request" if asked != "auto" else "scene"
    if choice == "auto":
        by = "default" if tilt is None and not askew else "photo"
        choice = "top" if askew and pose != "floating" else "front"
        if tilt is not None and tilt > THREE_QUARTER:
            choice = "three-quarter"
    if pose == "floating" and choice == "top":  # a scene's flat lay: nothing floats towards the camera
        choice, by = "front", "request"
    return Viewpoint(*_pitched(choice, by, photo_set, tilt), by, evidence)


def _pitched(choice: str, by: str, photo_set: PhotoSet, tilt: float | None) -> tuple[DecidedView, float]:
    own = photo_set.camera.pitch
    if choice == "top":
        return "top", 89.9
    if choice == "three-quarter":
        seen = tilt is not None and tilt > THREE_QUARTER
        return "three-quarter", min(max(tilt, 18.0 if by != "photo" else 0.0), 55.0) if tilt and seen else 32.0
    if tilt is None:
        return "front", own
    return "front", max(tilt, own - 2.0) if by == "photo" else min(max(tilt, own - 2.0), THREE_QUARTER)


def lies_askew(alpha: Alpha) -> bool:
    """Whether the silhouette is that of something slender whose weight is nowhere near what it would stand on."""
    box = bounding_box(alpha, 128)
    if box is None or min(box.width, box.height) < 16:
        return False
    solid = alpha[box.top : box.bottom, box.left : box.right] >= 128
    foot = np.flatnonzero(solid[-max(2, box.height // 25) :].any(axis=0))
    centre = float(solid.sum(axis=0) @ np.arange(box.width)) / max(int(solid.sum()), 1)
    beside = max(float(foot[0]) - centre, centre - float(foot[-1]))
    return bool(beside > 0.2 * box.width and solid.mean() < 0.4)
