"""Which way the product is looked at: the request's wish, the set's, or what the photo itself tells."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from pergai.engine.core import Pose
from pergai.imaging.picture import Alpha
from pergai.runners.render.camera import DecidedView, photographed_pitch
from pergai.runners.render.spec import PhotoSet

THREE_QUARTER = 14.0
"""Degrees: photographed from farther above than this, it is no front view any more."""


SLENDER = 3.0
"""Longer than wide, as deviations along and across."""
ASKEW = 20.0
"""Degrees from upright and from level."""


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


def locked(wanted: str, pose: Pose, photo_set: PhotoSet) -> Viewpoint:
    """The viewpoint of a set that many products share: as asked, or as the set has it; no photo is looked at."""
    asked = "top" if pose == "lying" else wanted
    choice = asked if asked != "auto" else photo_set.camera.view
    choice = choice if choice != "auto" else "front"
    return Viewpoint(*_pitched(choice, "scene", photo_set, None), "lock", "none")


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
    """Whether the silhouette is that of something long and slender, neither upright nor level."""
    rows, columns = np.nonzero(alpha >= 128)
    if len(rows) < 256:
        return False
    spread, axes = np.linalg.eigh(np.cov(columns, rows))
    angle = float(np.degrees(np.arctan2(abs(axes[1, 1]), abs(axes[0, 1]))))
    return bool(spread[1] > SLENDER**2 * spread[0] and ASKEW <= angle <= 90 - ASKEW)
