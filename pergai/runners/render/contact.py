"""The shadow a cut-out casts where it stands: rendered on the floor of the seamless set, as an alpha channel of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pergai.engine.core import SceneParams
from pergai.errors import NoProductFound
from pergai.imaging.composite import inside
from pergai.imaging.picture import Alpha, Matte
from pergai.imaging.placement import Placed, bounding_box
from pergai.runners.render import develop, shoot, viewpoint
from pergai.runners.render.model import Light
from pergai.runners.render.spec import PhotoSet
from pergai.runners.render.subject import Subject

SET = "white"
"""Id of the scene card whose floor and lights are used."""


def plan(
    photo_set: PhotoSet,
    matte: Matte,
    shadow: Literal["soft", "hard"],
    *,
    seed: int,
    cache: Path,
) -> shoot.Plan:
    """A floor under the product exactly where it is on its canvas. Raises NoProductFound when the matte is empty."""
    height, width = matte.alpha.shape
    box = bounding_box(matte.alpha)
    if box is None:
        raise NoProductFound("no product was found in the image")
    seen = viewpoint.decide("auto", "standing", photo_set, matte.alpha)
    placed = Placed(matte.foreground, matte.alpha, box, 1.0)
    subject = Subject(placed=placed, bodies=(placed,), where=inside(placed.alpha), view=seen.view, pitch=seen.pitch)
    params = SceneParams(scene=SET, width=width, height=height, shadow=shadow)
    return shoot.plan(photo_set, params, subject, seed=seed, cache=cache)


def cast(plan: shoot.Plan, light: Light) -> Alpha:
    """How black the shadow is, also where the product hides it; 0 at the picture's border."""
    return 255 - develop.to_bytes(shoot.seamless_ground(plan, light))[..., 0]
