"""Light along paths from the camera: the mean of a few for every pixel of its film."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from pergai.runners.render.camera import View
from pergai.runners.render.translate import RELIEF, sensor

Floats = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

Traced = Callable[[], Floats]
"""Waits for what is being traced."""
Look = Callable[[Any, Any], list[Any]]
"""What a sampler and a ray find, each a colour."""

MOST_LIGHT = 100.0
"""What one path brings at most, a hundred times as bright as white. Hardly a lamp but the sun shines so brightly, and that
thousands of times as bright: a wall near water sees it mirrored once in some thousand paths, and then as a white speck."""
TOO_FEW = "at least one sample is needed"
ROULETTE_FROM = 4
"""Steps of a path after which it may end by chance."""


def mean_light(
    mi: Any, scene: Any, depth: int, samples: int, seed: int, camera: Any, unseen: Mask | None = None
) -> Traced:
    """What `samples` paths a pixel, of `depth` steps at most, find on average, (height, width, 3), spread evenly over what they
    can see (the sampler of `translate.sensor`). None brings more than `MOST_LIGHT`, but in the scalar variant.

    In the vectorised variants this returns at once; the paths are traced meanwhile, and what it returns waits for them.

    `unseen` (height, width) are pixels that nobody will look at: in the vectorised variants no path starts there, and they are
    as bright as the others are on average. Raises ValueError for less than one sample.
    """
    path = mi.load_dict({"type": "path", "max_depth": depth, "rr_depth": ROULETTE_FROM})
    if mi.variant().startswith("scalar"):
        light = _rendered(mi, scene, path, samples, seed, camera)
        return lambda: light

    def look(sampler: Any, ray: Any) -> list[Any]:
        return [brought(path, scene, sampler, ray)]

    begun = _wavefronts(mi, camera, samples, seed, look, unseen)
    return lambda: begun()[0]


def brought(path: Any, scene: Any, sampler: Any, ray: Any) -> Any:
    """The light that one path brings along a ray, `MOST_LIGHT` of each colour at most. What is no number stays so."""
    import drjit as dr

    light = path.sample(scene, sampler, ray)[0]
    return dr.select(light > MOST_LIGHT, MOST_LIGHT, light)


def mean_colour(mi: Any, scene: Any, samples: int, seed: int, camera: Any, unseen: Mask | None = None) -> Floats:
    """What as many looks at a scene of `translate.coloured` find on average, (height, width, 3)."""
    if mi.variant().startswith("scalar"):
        look = mi.load_dict({"type": "path", "max_depth": 1})  # a path of one step sees what shines
        return _rendered(mi, scene, look, samples, seed, camera)
    return _wavefronts(mi, camera, samples, seed, lambda _, ray: [_shining(scene.ray_intersect(ray))], unseen)()[0]


def mean_colour_relief_and_blur(
    mi: Any, scene: Any, samples: int, seed: int, view: View, aperture: float, unseen: Mask | None = None
) -> tuple[Floats, Floats, Floats]:
    """The same, the normals that the scene's solids have as `translate.RELIEF`, and the diameter in pixels (height, width) of the
    circle that a point there is spread over. Not in the scalar variant: it has no integrator that finds them, and would take
    as long for it as for the light."""
    import drjit as dr

    camera = mi.load_dict(sensor(mi, view, aperture))
    eye, forward = mi.Point3f(dr.opaque(mi.Point3f, view.origin)), mi.Vector3f(dr.opaque(mi.Vector3f, view.forward))
    nearness = dr.opaque(mi.Float, 1 / view.distance)
    spread = dr.opaque(mi.Float, 2 * aperture * view.focal)

    def look(_: Any, ray: Any) -> list[Any]:
        seen = scene.ray_intersect(ray)
        away = dr.select(seen.is_valid(), dr.rcp(dr.dot(seen.p - eye, forward)), 0)
        blur = spread * dr.abs(nearness - away)
        return [_shining(seen), seen.shape.eval_attribute_3(RELIEF, seen), mi.Color3f(blur)]

    colour, relief, blur = _wavefronts(mi, camera, samples, seed, look, unseen)()
    return colour, relief, blur[..., 0]


def _shining(seen: Any) -> Any:
    """What the path integrator finds in one step; it would ask all lamps besides, for nothing."""
    return seen.shape.emitter().eval(seen)


def _rendered(mi: Any, scene: Any, integrator: Any, samples: int, seed: int, camera: Any) -> Floats:
    if samples < 1:
        raise ValueError(TOO_FEW)
    mean = mi.render(scene, sensor=camera, integrator=integrator, spp=samples, seed=seed % 2**32)
    return np.array(mean, np.float32)[..., :3]


def _wavefronts(
    mi: Any, camera: Any, samples: int, seed: int, look: Look, unseen: Mask | None = None
) -> Callable[[], list[Floats]]:
    """All pixels at once, one path each in a pass: the paths of one pass are added up in any order, and with several of a pixel
    the last bits of floats differ from run to run.

    As `mi.render` does it, but that nothing of the film's size gets into the kernel, and all passes have the same: a compiler
    takes longer for a kernel than many a picture for its light, and so pictures of all sizes and the windows of a catalogue
    share one.
    """
    import drjit as dr

    if samples < 1:
        raise ValueError(TOO_FEW)
    width, height = (int(side) for side in camera.film().crop_size())
    seen = np.ones(width * height, bool) if unseen is None else ~unseen.ravel()
    index = dr.compress(mi.Bool(seen))
    pixels = dr.width(index)
    wide = dr.opaque(mi.UInt32, width)
    scale = mi.Vector2f(dr.opaque(mi.Float, 1 / width), dr.opaque(mi.Float, 1 / height))
    sampler = camera.sampler().clone()
    sampler.set_sample_count(samples)
    sampler.set_samples_per_wavefront(1)
    sampler.seed(seed % 2**32, pixels)
    sampler.schedule_state()
    totals: list[Any] = []
    for _ in range(samples):
        row = index // wide
        at = (mi.Point2f(index - row * wide, row) + sampler.next_2d()) * scale
        lens = sampler.next_2d() if camera.needs_aperture_sample() else mi.Point2f(0.5)
        ray, weight = camera.sample_ray_differential(0.0, 0.0, at, lens)
        ray.scale_differential(samples**-0.5)
        found = look(sampler, ray)
        if not totals:
            totals = [dr.zeros(mi.Color3f, pixels) for _ in found]
            dr.make_opaque(totals)
        totals = [total + weight * seen for total, seen in zip(totals, found, strict=True)]
        sampler.advance()
        sampler.schedule_state()
        dr.eval(totals)

    def means() -> list[Floats]:
        planes = [[np.asarray(plane, np.float32) / np.float32(samples) for plane in total] for total in totals]
        return [
            np.stack([_in_place(plane, seen).reshape(height, width) for plane in found], axis=-1) for found in planes
        ]

    return means


def _in_place(found: Floats, seen: Mask) -> Floats:
    """What was found where it was seen, and its mean elsewhere."""
    if len(found) == len(seen):
        return found
    plane = np.full(len(seen), np.nanmean(found), np.float32)
    plane[seen] = found
    return plane
