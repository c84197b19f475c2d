"""Light along paths from the camera: the mean of a few for every pixel of its film."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]

ROULETTE_FROM = 4
"""Steps of a path after which it may end by chance."""


def mean_light(mi: Any, scene: Any, depth: int, samples: int, seed: int, camera: Any = None) -> Floats:
    """What `samples` paths a pixel, of `depth` steps at most, find on average, (height, width, 3), spread evenly over what they
    can see (the sampler of `translate.sensor`), through `camera` or else the scene's own. A path of one step sees what shines.

    Raises ValueError for less than one sample.
    """
    if samples < 1:
        raise ValueError("at least one sample is needed")
    camera = scene.sensors()[0] if camera is None else camera
    path = mi.load_dict({"type": "path", "max_depth": depth, "rr_depth": ROULETTE_FROM})
    if mi.variant().startswith("scalar"):
        mean = mi.render(scene, sensor=camera, integrator=path, spp=samples, seed=seed % 2**32)
        return np.array(mean, np.float32)[..., :3]
    return _wavefronts(mi, scene, camera, path if depth > 1 else None, samples, seed % 2**32)


def _wavefronts(mi: Any, scene: Any, camera: Any, path: Any, samples: int, seed: int) -> Floats:
    """All pixels at once, one path each in a pass: the paths of one pass are added up in any order, and with several of a pixel
    the last bits of floats differ from run to run.

    As `mi.render` does it, but that nothing of the film's size gets into the kernel, and all passes have the same: a compiler
    takes longer for a kernel than many a picture for its light, and so pictures of all sizes and the windows of a catalogue
    share one.
    """
    import drjit as dr

    width, height = (int(side) for side in camera.film().crop_size())
    pixels = width * height
    wide = dr.opaque(mi.UInt32, width)
    scale = mi.Vector2f(dr.opaque(mi.Float, 1 / width), dr.opaque(mi.Float, 1 / height))
    sampler = camera.sampler().clone()
    sampler.set_sample_count(samples)
    sampler.set_samples_per_wavefront(1)
    sampler.seed(seed, pixels)
    total = dr.zeros(mi.Color3f, pixels)
    sampler.schedule_state()
    dr.make_opaque(total)
    for _ in range(samples):
        index = dr.arange(mi.UInt32, pixels)
        row = index // wide
        at = (mi.Point2f(index - row * wide, row) + sampler.next_2d()) * scale
        lens = sampler.next_2d() if camera.needs_aperture_sample() else mi.Point2f(0.5)
        ray, weight = camera.sample_ray_differential(0.0, 0.0, at, lens)
        ray.scale_differential(samples**-0.5)
        total += weight * (_shining(scene, ray) if path is None else path.sample(scene, sampler, ray)[0])
        sampler.advance()
        sampler.schedule_state()
        dr.eval(total)
    planes = [np.asarray(plane, np.float32).reshape(height, width) for plane in total]
    return np.stack(planes, axis=-1) / np.float32(samples)


def _shining(scene: Any, ray: Any) -> Any:
    """What the path integrator finds in one step; it would ask all lamps besides, for nothing."""
    seen = scene.ray_intersect(ray)
    return seen.emitter(scene).eval(seen)
