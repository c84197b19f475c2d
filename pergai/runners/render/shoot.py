"""One picture, in two pure halves: `plan` before the light is rendered, `finish` after it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy import ndimage

from pergai.engine.core import Outcome, Reference, SceneParams
from pergai.errors import NoProductFound
from pergai.imaging.composite import fill_behind, inside, over
from pergai.imaging.picture import RGB, Alpha, Matte, Picture
from pergai.imaging.placement import Placed, Spot, place
from pergai.runners.render import card as cards
from pergai.runners.render import develop, lights, stage
from pergai.runners.render.camera import DecidedView, aim, photographed_pitch
from pergai.runners.render.model import Light, Take
from pergai.runners.render.spec import PhotoSet

Floats = npt.NDArray[np.float32]

LIGHT_PIXELS = 1024
"""Light is rendered at no more than this squared; larger pictures are enlarged from it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Everything about a picture but its light."""

    photo_set: PhotoSet
    placed: Placed
    view: DecidedView
    take: Take
    hidden: npt.NDArray[np.bool_]
    """Pixels of the light where the product's body is seen, or might be."""
    noise: float
    """The source's own grain, a deviation in 1/255."""
    seed: int
    details: Mapping[str, Any]


def plan(
    photo_set: PhotoSet,
    params: SceneParams,
    source: Picture,
    matte: Matte,
    *,
    seed: int,
    cache: Path,
    samples: int = 8,
    depth: int = 5,
    light_pixels: int = LIGHT_PIXELS,
) -> Plan:
    """Decide the view, place the product, build the set round it.

    `samples` are paths a pixel, `depth` their longest, `light_pixels` squared the most pixels of light. Raises
    NoProductFound when the matte is empty.
    """
    tilt = photographed_pitch(matte.alpha)
    view, pitch, reason = decide_view(params.view, photo_set, tilt)
    placed = place(matte, params.width, params.height, spot(params, photo_set, view))
    if placed is None or not (placed.alpha >= 128).any():
        raise NoProductFound("the cut-out is empty: no product was found in the image, or it lies outside the picture")
    factor = min(1.0, light_pixels / float(np.sqrt(params.width * params.height)))
    foreground, alpha = _at(placed.foreground, placed.alpha, factor)
    height, width = alpha.shape
    box = placed.box
    unit = max(box.width, box.height) * factor
    base = cards.lowest_point(alpha)
    if base is None or view == "top":
        base = (round((box.left + box.right) / 2 * factor), round((box.top + box.bottom) / 2 * factor))
    camera = aim(width, height, base, unit, pitch, photo_set.camera.distance, stage.heading(view, seed))
    body = None if params.shadow == "none" else cards.build(foreground, alpha, camera)
    built = stage.build(
        photo_set, view, body, shadow=params.shadow, seed=seed, cache=cache, width=box.width * factor / unit
    )
    take = Take(
        view=camera,
        aperture=photo_set.camera.aperture if view != "top" else 0.0,
        solids=built.solids,
        emitters=built.emitters,
        samples=samples,
        depth=depth,
        seed=seed,
    )
    hidden = np.zeros(alpha.shape, bool)
    if body is not None:
        hidden = ndimage.binary_dilation(alpha >= 118, iterations=2)
    details = {
        "view": view,
        "viewDecidedBy": reason,
        "cameraPitch": round(pitch, 1),
        "placement": {
            "scale": round(placed.scale, 4),
            "box": [box.left, box.top, box.right, box.bottom],
        },
        "lightPixels": [width, height],
    }
    noise = develop.source_noise(source.pixels, matte.alpha) * min(1.0, 0.4 + 0.6 / max(placed.scale, 1e-3))
    return Plan(
        photo_set=photo_set, placed=placed, view=view, take=take, hidden=hidden, noise=noise, seed=seed, details=details
    )


def finish(plan: Plan, light: Light) -> Outcome:
    """Develop the light into a photograph of the set and put the product's own pixels on top."""
    look, placed = plan.photo_set.look, plan.placed
    height, width = placed.alpha.shape
    random = np.random.default_rng([plan.seed, 11])
    if look.seamless:
        background = seamless_ground(plan, light)
    else:
        colour = fill_behind(light.colour, plan.hidden)
        white = lights.level(plan.photo_set)
        colour = develop.with_bokeh(colour, plan.photo_set.bokeh, white, random)
        picture = _enlarged(develop.tone(colour, look, white), width, height)
        picture = develop.vignetted(picture, look.vignette)
        deviation = float(np.clip(plan.noise, 0.5, 3.0)) * look.grain
        background = develop.to_bytes(develop.grained(picture, deviation, random))
    pixels = over(placed.foreground, placed.alpha, background)
    return Outcome(
        pixels=pixels,
        reference=Reference(pixels=placed.foreground, where=inside(placed.alpha)),
        ai_made="composite",
        notes=("product_enlarged",) if placed.scale > 1.5 else (),
        details=plan.details,
    )


def seamless_ground(plan: Plan, light: Light) -> RGB:
    """White with nothing but the shadow, also where the product will hide it."""
    height, width = plan.placed.alpha.shape
    colour, albedo = fill_behind(light.colour, plan.hidden), fill_behind(light.albedo, plan.hidden)
    return develop.to_bytes(_enlarged(develop.seamless(colour, albedo, plan.hidden), width, height))


def decide_view(wanted: str, photo_set: PhotoSet, tilt: float | None) -> tuple[DecidedView, float, str]:
    """The view, the camera's pitch in degrees, and what decided: the request, the scene, or the photo itself."""
    by = "request" if wanted != "auto" else "scene"
    choice = wanted if wanted != "auto" else photo_set.camera.view
    own = photo_set.camera.pitch
    if choice == "top":
        return "top", 89.9, by
    if choice == "three-quarter":
        return "three-quarter", min(max(tilt, 18.0), 55.0) if tilt is not None and tilt > 14 else 32.0, by
    if choice == "front":
        return "front", own if tilt is None else min(max(tilt, own - 2.0), 14.0), by
    if tilt is None:
        return "front", own, "default"
    if tilt > 14:
        return "three-quarter", min(tilt, 55.0), "photo"
    return "front", max(tilt, own - 2.0), "photo"


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


def _at(foreground: RGB, alpha: Alpha, factor: float) -> tuple[RGB, Alpha]:
    """The placed product at the size of the light."""
    if factor == 1.0:
        return foreground, alpha
    size = (max(1, round(alpha.shape[1] * factor)), max(1, round(alpha.shape[0] * factor)))
    small = Image.fromarray(np.dstack([foreground, alpha])).resize(size, Image.Resampling.BOX)
    pixels = np.asarray(small)
    return np.ascontiguousarray(pixels[..., :3]), np.ascontiguousarray(pixels[..., 3])


def _enlarged(picture: Floats, width: int, height: int) -> Floats:
    if picture.shape[:2] == (height, width):
        return picture
    planes = [
        np.asarray(
            Image.fromarray(np.ascontiguousarray(picture[..., c])).resize((width, height), Image.Resampling.BICUBIC)
        )
        for c in range(picture.shape[2])
    ]
    return np.asarray(np.clip(np.stack(planes, -1), 0, 1), np.float32)
