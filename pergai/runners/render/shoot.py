"""One picture, in two pure halves: `plan` before the light is rendered, `finish` after it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from msgspec import structs
from PIL import Image
from scipy import ndimage

from pergai.engine.core import Outcome, Placement, Reference, SceneParams
from pergai.imaging.colour import to_8_bits, to_16_bits
from pergai.imaging.composite import continue_behind, inside, over, over_deep
from pergai.imaging.picture import RGB, Alpha, Deep
from pergai.imaging.placement import around
from pergai.runners.render import card as cards
from pergai.runners.render import develop, lights, pose, stage
from pergai.runners.render.camera import DecidedView, View, aim
from pergai.runners.render.enlarge import enlarged, textured
from pergai.runners.render.model import Light, Take
from pergai.runners.render.spec import PhotoSet
from pergai.runners.render.subject import Subject, spot
from pergai.runners.render.variation import variation, varied

Floats = npt.NDArray[np.float32]

LIGHT_PIXELS = 1024
"""Light is rendered at no more than this squared; larger pictures are enlarged from it (see `enlarge`)."""

HIDDEN_RIM = 3
"""Pixels of light round the product's body that its rendered edge may have got into, besides what the lens blurs it."""
LYING_RIM = 1.5
"""The same of a product that lies: it is sharp, and its shadow is no wider than a few pixels."""
UNSEEN_FROM = 16
"""Pixels from the rim of the product's body that its light is rendered: a denoiser looks so far for what belongs together."""
FAINTEST_FOOT = 8
"""The alpha from which on a pixel below the product's foot counts as the body's, and all round what lies. Nothing else does
there: it is sharp, and the pixels next to it are those in which its contact shadow is darkest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Everything about a picture but its light."""

    photo_set: PhotoSet
    subject: Subject
    take: Take
    bare: Take
    """The same set without the product, for what its presence changes."""
    hidden: npt.NDArray[np.bool_]
    """Pixels of the light where the product's body is seen, or might be."""
    seed: int
    details: Mapping[str, Any]


def plan(
    photo_set: PhotoSet,
    params: SceneParams,
    subject: Subject,
    *,
    seed: int,
    cache: Path,
    samples: int = 8,
    depth: int = 5,
    light_pixels: int = LIGHT_PIXELS,
) -> Plan:
    """Build the set round a placed product.

    `samples` are paths a pixel (times the set's own `samples`), `depth` their longest, `light_pixels` squared the most
    pixels of light.
    """
    placed, view, pitch = subject.placed, subject.view, subject.pitch
    factor = min(1.0, light_pixels / float(np.sqrt(params.width * params.height)))
    _, alpha = _at(placed.foreground, placed.alpha, factor)
    height, width = alpha.shape
    box = placed.box
    lift = pose.LIFT[subject.pose]
    if params.lock_camera:
        unit, base = _locked(params, photo_set, view, factor)
    else:
        unit = max(box.width, box.height) * factor
        middle = (round((box.left + box.right) / 2 * factor), round((box.top + box.bottom) / 2 * factor))
        base = middle if view == "top" else cards.lowest_point(alpha) or middle
    varying = variation(params.variant)
    heading = stage.heading(view, seed) + varying.heading
    camera = aim(width, height, base, unit, pitch, photo_set.camera.distance, heading)
    bodies = [] if params.shadow == "none" else _bodies(subject, factor, camera)
    camera, bodies = pose.lifted(camera, lift), [pose.held(body, subject.pose) for body in bodies]
    photo_set = pose.posed(varied(photo_set, varying), subject.pose, bodies)
    if view == "top":
        photo_set = structs.replace(photo_set, lights=tuple(lights.from_above(light) for light in photo_set.lights))
    built = stage.build(
        photo_set,
        view,
        bodies,
        shadow=params.shadow,
        seed=seed,
        cache=cache,
        width=1.0 if params.lock_camera else box.width * factor / unit,
        shared=_largest(params, photo_set, view, factor / unit) if params.lock_camera else None,
    )
    take = Take(
        view=camera,
        aperture=photo_set.camera.aperture if view != "top" else 0.0,
        solids=built.solids,
        emitters=built.emitters,
        samples=max(1, round(samples * photo_set.samples)),
        depth=max(depth, photo_set.depth),
        seed=seed,
        detail=None if factor == 1.0 or photo_set.look.seamless else camera.enlarged(params.width, params.height),
    )
    notes = [
        *(["product_meets_prop"] if built.crowded else []),
        *(["product_overhangs_stand"] if built.overhung else []),
    ]
    own = {id(body.mesh) for body in bodies}
    bare = replace(take, solids=tuple(solid for solid in take.solids if id(solid[0]) not in own))
    hidden = np.zeros(alpha.shape, bool)
    if bodies:
        hidden = _hidden(alpha, take, max(body.footprint.back for body in bodies))
        take = replace(take, unseen=inside(hidden * np.uint8(255), UNSEEN_FROM))
    details = {**subject.details, "lightPixels": [width, height]}
    if params.lock_camera:
        details["cameraLocked"] = True
    if params.variant:
        details["variation"] = varying.record()
    subject = replace(subject, notes=(*subject.notes, *notes))
    return Plan(photo_set=photo_set, subject=subject, take=take, bare=bare, hidden=hidden, seed=seed, details=details)


def _hidden(alpha: Alpha, take: Take, back: float) -> npt.NDArray[np.bool_]:
    """Where the light may show the product's body, whose back is `back` units behind the plane of focus."""
    solid = alpha >= 118
    if not solid.any():
        return solid
    blur = take.aperture * back / (take.view.distance + back) * take.view.focal / take.view.distance
    reach = HIDDEN_RIM + blur
    near = around(alpha >= FAINTEST_FOOT, int(reach) + 1)
    hidden = np.zeros_like(solid)
    hidden[near] = _hides(alpha[near], solid[near], reach, lies=take.view.pitch > cards.LYING_FROM)
    return hidden


def _hides(alpha: Alpha, solid: npt.NDArray[np.bool_], reach: float, *, lies: bool) -> npt.NDArray[np.bool_]:
    distance, (row, column) = ndimage.distance_transform_edt(~solid, return_indices=True)
    if lies:
        return np.asarray((distance <= LYING_RIM) & (alpha >= FAINTEST_FOOT), np.bool_)
    height = len(solid)
    lowest = height - 1 - np.argmax(solid[::-1], axis=0)
    under = (row == lowest[column]) & (np.arange(height)[:, None] > row)
    return np.where(under, alpha >= FAINTEST_FOOT, distance <= reach)


def _locked(
    params: SceneParams, photo_set: PhotoSet, view: DecidedView, factor: float
) -> tuple[float, tuple[int, int]]:
    """Pixels a unit, and the pixel where the set's origin is seen, for every product alike."""
    own = spot(replace(params, placement=Placement(), real_height_mm=0.0), photo_set, view)
    return own.height * params.height * factor, (
        round(own.x * params.width * factor),
        round(own.y * params.height * factor),
    )


def _largest(params: SceneParams, photo_set: PhotoSet, view: DecidedView, units: float) -> cards.Footprint:
    """The footprint of the largest product that a picture takes whose real size is not said: as wide as its spot; nothing is
    deeper than wide (see `card`), nor than it may be wide in a square picture: a long one is a bench, no stage. `units`: a
    pixel of the picture."""
    own = spot(replace(params, real_height_mm=0.0), photo_set, view)
    middle, half = (own.x - 0.5) * params.width * units, own.width * params.width * units / 2
    high, deep = own.height * params.height * units, own.width * min(params.width, params.height) * units
    front, back = (-high / 2, high / 2) if view == "top" else (0.0, deep)
    return cards.Footprint(middle - half, middle + half, front, back)


def finish(plan: Plan, light: Light, bit_depth: int = 8) -> Outcome:
    """Develop the light into a photograph of the set and put the product's own pixels on top."""
    placed = plan.subject.placed
    background = ground(plan, light)
    deep: Deep | None = None
    if bit_depth == 16:
        wide = to_16_bits(placed.foreground) if placed.deep is None else placed.deep
        deep = over_deep(wide, placed.alpha, background)
    return Outcome(
        pixels=over(placed.foreground, placed.alpha, develop.to_bytes(background)) if deep is None else to_8_bits(deep),
        deep=deep,
        reference=Reference(
            pixels=placed.foreground, where=plan.subject.where, deep=placed.deep, relit="relight" in plan.details
        ),
        ai_made="composite",
        notes=plan.subject.notes,
        details=plan.details,
    )


def ground(plan: Plan, light: Light) -> Floats:
    """The developed set behind the product, sRGB 0-1, at the picture's size; what the product hides is continued."""
    look = plan.photo_set.look
    if look.seamless:
        return seamless_ground(plan, light)
    height, width = plan.subject.placed.alpha.shape
    random = np.random.default_rng([plan.seed, 11])
    colour = continue_behind(light.colour, plan.hidden)
    white = lights.level(plan.photo_set)
    band = develop.bokeh_band(plan.photo_set, plan.take.view)
    colour = develop.with_bokeh(colour, plan.photo_set.bokeh, white, random, band)
    picture = develop.tone(develop.with_glare(colour, look, white), look, white)
    if light.detail is None:
        picture = enlarged(picture, width, height)
    else:
        picture = textured(picture, light.albedo, light.detail, plan.hidden)
    picture = develop.vignetted(picture, look.vignette)
    deviation = float(np.clip(plan.subject.noise, 0.5, 3.0)) * look.grain
    return np.clip(develop.grained(picture, deviation, random), 0, 1)


def seamless_ground(plan: Plan, light: Light) -> Floats:
    """White with nothing but the shadow, also where the product will hide it."""
    height, width = plan.subject.placed.alpha.shape
    colour, albedo = continue_behind(light.colour, plan.hidden), continue_behind(light.albedo, plan.hidden)
    return enlarged(develop.seamless(colour, albedo, plan.hidden), width, height)


def _bodies(subject: Subject, factor: float, camera: View) -> list[cards.Card]:
    """Each product as geometry, at the size of the light."""
    built = [cards.build(*_at(body.foreground, body.alpha, factor), camera) for body in subject.bodies]
    return [body for body in built if body is not None]


def _at(foreground: RGB, alpha: Alpha, factor: float) -> tuple[RGB, Alpha]:
    """The placed product at the size of the light."""
    if factor == 1.0:
        return foreground, alpha
    size = (max(1, round(alpha.shape[1] * factor)), max(1, round(alpha.shape[0] * factor)))
    small = Image.fromarray(np.dstack([foreground, alpha])).resize(size, Image.Resampling.BOX)
    pixels = np.asarray(small)
    return np.ascontiguousarray(pixels[..., :3]), np.ascontiguousarray(pixels[..., 3])
