"""Light along paths from the camera: the mean of a few for every pixel of its film."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from pergai.runners.render.camera import View
from pergai.runners.render.passes import TOO_FEW, Parts, Tracing, Wavefronts
from pergai.runners.render.translate import RELIEF, sensor

Floats = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

MOST_LIGHT = 100.0
"""What one path brings at most, a hundred times as bright as white. Hardly a lamp but the sun shines so brightly, and that
thousands of times as bright: a wall near water sees it mirrored once in some thousand paths, and then as a white speck."""
ROULETTE_FROM = 4
"""Steps of a path after which it may end by chance."""


def mean_light(
    mi: Any, scene: Any, depth: int, samples: int, seed: int, camera: Any, unseen: Mask | None = None
) -> Tracing:
    """What `samples` paths a pixel, of `depth` steps at most, find on average, spread evenly over what they can see (the
    sampler of `translate.sensor`). None brings more than `MOST_LIGHT`, but in the scalar variant.

    `unseen` (height, width) are pixels that nobody will look at: in the vectorised variants no path starts there, and they are
    as bright as the others are on average. Raises ValueError for less than one sample.
    """
    path = mi.load_dict({"type": "path", "max_depth": depth, "rr_depth": ROULETTE_FROM})
    if mi.variant().startswith("scalar"):
        return Parts(lambda paths, at: _rendered(mi, scene, path, paths, at, camera), samples, seed)

    def look(sampler: Any, ray: Any) -> list[Any]:
        return [brought(path, scene, sampler, ray)]

    return Wavefronts(mi, camera, samples, seed, look, unseen)


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
    return Wavefronts(mi, camera, samples, seed, lambda _, ray: [_shining(scene.ray_intersect(ray))], unseen).mean()


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

    colour, relief, blur = Wavefronts(mi, camera, samples, seed, look, unseen).means()
    return colour, relief, blur[..., 0]


def _shining(seen: Any) -> Any:
    """What the path integrator finds in one step; it would ask all lamps besides, for nothing."""
    return seen.shape.emitter().eval(seen)


def _rendered(mi: Any, scene: Any, integrator: Any, samples: int, seed: int, camera: Any) -> Floats:
    if samples < 1:
        raise ValueError(TOO_FEW)
    mean = mi.render(scene, sensor=camera, integrator=integrator, spp=samples, seed=seed % 2**32)
    return np.array(mean, np.float32)[..., :3]
