"""A set as machines see it: depth, normals, albedo and mask beside the rendered picture, for what paints over it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from pergai.engine.core import Desk
from pergai.imaging.picture import RGB, Alpha
from pergai.runners.render import shoot
from pergai.runners.render.expose import expose
from pergai.runners.render.model import Geometry, Survey

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Maps:
    """Pixel for pixel the same view, all at the size of the light (`plan.take.view`): the picture's own size up to
    `light_pixels` squared, else smaller in the same shape."""

    picture: RGB
    """(height, width, 3) uint8 sRGB: the developed set with the product's own pixels in it."""
    depth: Floats
    """(height, width): distance from the plane of the camera in units (one unit is the product's longer side; the product
    stands about `plan.take.view.distance` away); infinite where there is nothing but sky."""
    normal: Floats
    """(height, width, 3): -1 to 1 in the camera's axes, x right, y up, z towards the camera; of length 1, or 0 where there is
    nothing. The product's are those of its body, which follows its outline, not its relief."""
    albedo: Floats
    """(height, width, 3): 0-1, linear light: each surface's own colour without light or shadow."""
    mask: Alpha
    """(height, width) uint8: how much of the product covers each pixel."""

    def disparity(self) -> npt.NDArray[np.uint8]:
        """(height, width) uint8: inverse depth as depth estimators give it, 255 nearest, 0 farthest or nothing. A speck that
        is farther or nearer than all the rest does not flatten it."""
        inverse = 1 / np.maximum(self.depth, 1e-3)
        low, high = (float(edge) for edge in np.percentile(inverse, (0.2, 99.8)))
        return np.rint(np.clip((inverse - low) / max(high - low, 1e-9), 0, 1) * 255).astype(np.uint8)


async def render(desk: Desk, engine: str, plan: shoot.Plan, begin: float, end: float) -> Maps:
    """Render a planned picture and survey its set with the model `engine` (id of a model card); the job's progress goes from
    `begin` to `end` meanwhile.

    The same plan gives the same maps. With `shadow: none` there is no product in depth, normals and albedo. Raises
    JobError and ModelUnavailable.
    """
    light = await expose(desk, engine, plan.take, begin, end, "light")
    survey = Survey(view=plan.take.view, solids=plan.take.solids, seed=plan.seed)
    geometry: Geometry = await desk.device(engine, survey)
    outcome = await desk.cpu(shoot.finish, plan, light)
    size = (plan.take.view.width, plan.take.view.height)
    picture, mask = await desk.cpu(lambda: (_at(outcome.pixels, size), _at(plan.subject.placed.alpha, size)))
    return Maps(picture, geometry.depth, geometry.normal, geometry.albedo, mask)


def _at(pixels: npt.NDArray[np.uint8], size: tuple[int, int]) -> npt.NDArray[np.uint8]:
    if (pixels.shape[1], pixels.shape[0]) == size:
        return pixels
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.LANCZOS))
