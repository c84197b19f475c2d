"""The product as geometry: a body that fills exactly its silhouette, seen from the camera.

The body is the product's visual hull cut by a prism over its footprint. The lower outline of the matte, followed
along the camera's rays to the floor, is the front edge of the footprint; mirrored, it is the back edge. Each ray
through the silhouette is inside the prism between two depths: the front and the back of the body. So it touches
the floor where the photo does, has depth for light to wrap round, and never peeks out behind the product's pixels.
What is round all over (a ball, a ring) has no footprint: it is blown up round its middle instead. Strands of hair have
neither foot nor depth.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy import ndimage

from pergai.imaging.picture import RGB, Alpha
from pergai.imaging.placement import Box, bounding_box
from pergai.runners.render.camera import View, photographed_pitch
from pergai.runners.render.geometry import Mesh

Floats = npt.NDArray[np.float64]

COLUMNS = 190
"""Cells across the product's longer side."""
STRAND = 0.012
"""Over the product's longer side: what is thinner is a hair or a thread."""
ROUND = 0.4
"""Share of its width that overhangs the place where a ball touches the ground."""
LYING_FROM = 75.0
"""Degrees that the camera looks down: from there on the product lies."""
FRINGE = 0.1
"""Over the product's height: how far strands may hang below what it stands on."""


class Footprint(NamedTuple):
    """What a product covers of the floor, in units from the set's origin."""

    left: float
    right: float
    front: float
    back: float

    @property
    def half(self) -> float:
        """Half its width."""
        return (self.right - self.left) / 2

    @property
    def depth(self) -> float:
        return self.back - self.front


@dataclass(frozen=True, slots=True)
class Card:
    """The product's body and its own pixels on it."""

    mesh: Mesh
    """uv run over the texture from its top left corner."""
    texture: RGB
    footprint: Footprint


def lowest_point(alpha: Alpha) -> tuple[int, int] | None:
    """Pixel (x, y) on the base line, in the middle of the product's foot: of what reaches down into the lowest fifth of the
    silhouette. So a box photographed round its corner stands on its whole width, and a cup's handle is none of its foot."""
    alpha = _standing_part(alpha)
    box = bounding_box(alpha, 128)
    if box is None:
        return None
    band = alpha[max(box.bottom - max(2, box.height // 5), 0) : box.bottom, box.left : box.right] >= 128
    columns = np.flatnonzero(band.any(axis=0))
    return box.left + int((columns[0] + columns[-1]) // 2), box.bottom


def _standing_part(alpha: Alpha) -> Alpha:
    """The silhouette, 0 or 255, without its strands. The whole of it where something thin reaches far down: legs of wire carry
    what stands on them, a fringe of hair does not."""
    solid = alpha >= 128
    box = bounding_box(alpha, 128)
    if box is None:
        return np.zeros_like(alpha)
    cut = np.s_[max(box.top, 0) : box.bottom, max(box.left, 0) : box.right]
    inner = np.pad(solid[cut], 1)
    radius = STRAND / 2 * max(box.width, box.height)
    core = ndimage.distance_transform_edt(inner) > radius
    thick = inner & (ndimage.distance_transform_edt(~core) <= radius) if core.any() else inner
    fringe = inner.shape[0] - 1 - int(np.flatnonzero(thick.any(axis=1))[-1]) - 1
    if fringe <= FRINGE * box.height:
        solid = np.zeros_like(solid)
        solid[cut] = thick[1:-1, 1:-1]
    return np.where(solid, np.uint8(255), np.uint8(0))


def build(foreground: RGB, alpha: Alpha, view: View) -> Card | None:
    """The body of a placed product (at the camera's size). None where nothing is solid enough to cast a shadow."""
    box = bounding_box(alpha, 128)
    if box is None:
        return None
    step = max(1.0, max(box.width, box.height) / COLUMNS)
    x, y, cover = _samples(alpha, box, step)
    vertices, triangles, rim = _contour(cover)
    px = np.interp(vertices[:, 0], np.arange(len(x)), x)
    py = np.interp(vertices[:, 1], np.arange(len(y)), y)
    rays = view.rays(px, py)
    if view.pitch > LYING_FROM:
        near, far, footprint = _flat(cover, vertices, rays, view)
    else:
        foot = _standing_part(alpha)
        xs, edge, overhang = _footprint_front(foot, view)
        if overhang > ROUND and photographed_pitch(foot) is None:
            inside = _inside(foot, px, py) * view.distance / view.focal
            near, far, footprint = _blown_up(inside, xs, edge, rays, view)
        else:
            near, far, footprint = _standing(xs, edge, rays, view)
    origin = np.asarray(view.origin)
    front, back = origin + rays * near[:, None], origin + rays * far[:, None]
    count = len(vertices)
    walls = [
        np.stack([rim[:, 0], rim[:, 1], rim[:, 1] + count], 1),
        np.stack([rim[:, 0], rim[:, 1] + count, rim[:, 0] + count], 1),
    ]
    faces = np.concatenate([triangles, triangles[:, ::-1] + count, *walls])
    texture, region = _texture(foreground, alpha, box)
    uv = np.stack([(px - region.left) / region.width, (py - region.top) / region.height], -1)
    mesh = Mesh(
        np.concatenate([front, back]).astype(np.float32),
        faces.astype(np.uint32),
        np.concatenate([uv, uv]).astype(np.float32),
    )
    return Card(mesh, texture, footprint)


def _samples(alpha: Alpha, box: Box, step: float) -> tuple[Floats, Floats, Floats]:
    """Coverage on a grid of `step` pixels, one cell of clear rim all round."""
    smooth = (
        ndimage.gaussian_filter(alpha.astype(np.float64) / 255, max(step / 3, 0.3)) if step > 1.5 else alpha / 255.0
    )
    x = np.arange(box.left - 1.5 * step, box.right + 1.5 * step, step)
    y = np.arange(box.top - 1.5 * step, box.bottom + 1.5 * step, step)
    gy, gx = np.meshgrid(y - 0.5, x - 0.5, indexing="ij")
    cover = ndimage.map_coordinates(smooth, [gy, gx], order=1, mode="constant")
    cover[0], cover[-1], cover[:, 0], cover[:, -1] = 0, 0, 0, 0
    return x, y, cover


# Marching squares. Points of a cell: corners 0-3 (clockwise from the top left), edge points 4-7 (top, right, bottom,
# left). For each pattern of solid corners: the polygons that fill the solid part.
_POLYGONS: dict[int, list[list[int]]] = {
    1: [[0, 4, 7]], 2: [[4, 1, 5]], 3: [[0, 1, 5, 7]], 4: [[5, 2, 6]], 5: [[0, 4, 5, 2, 6, 7]],
    6: [[4, 1, 2, 6]], 7: [[0, 1, 2, 6, 7]], 8: [[7, 6, 3]], 9: [[0, 4, 6, 3]], 10: [[4, 1, 5, 6, 3, 7]],
    11: [[0, 1, 5, 6, 3]], 12: [[7, 5, 2, 3]], 13: [[0, 4, 5, 2, 3]], 14: [[4, 1, 2, 3, 7]], 15: [[0, 1, 2, 3]],
}  # fmt: skip


def _contour(cover: Floats, level: float = 0.5) -> tuple[Floats, npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The area where coverage is above `level`: vertices (n, 2) in cells, triangles (m, 3), and the edges (k, 2) of
    its rim."""
    rows, columns = cover.shape
    solid = cover >= level
    pattern = solid[:-1, :-1] * 1 + solid[:-1, 1:] * 2 + solid[1:, 1:] * 4 + solid[1:, :-1] * 8
    corner = np.arange(rows * columns).reshape(rows, columns)
    across = rows * columns + corner
    down = 2 * rows * columns + corner
    parts = []
    for value, polygons in _POLYGONS.items():
        i, j = np.nonzero(pattern == value)
        ids = np.stack([
            corner[i, j], corner[i, j + 1], corner[i + 1, j + 1], corner[i + 1, j],
            across[i, j], down[i, j + 1], across[i + 1, j], down[i, j],
        ], 1)  # fmt: skip
        parts += [ids[:, [p[0], p[k], p[k + 1]]] for p in polygons for k in range(1, len(p) - 1)]
    triangles = np.concatenate(parts)
    used, flat = np.unique(triangles, return_inverse=True)
    gy, gx = np.divmod(used % (rows * columns), columns)
    kind = used // (rows * columns)
    x, y = gx.astype(np.float64), gy.astype(np.float64)
    here = cover[gy, gx]
    right, below = cover[gy, np.minimum(gx + 1, columns - 1)], cover[np.minimum(gy + 1, rows - 1), gx]
    with np.errstate(divide="ignore", invalid="ignore"):
        x = np.where(kind == 1, x + np.clip((level - here) / (right - here), 0, 1), x)
        y = np.where(kind == 2, y + np.clip((level - here) / (below - here), 0, 1), y)
    faces = flat.reshape(-1, 3)
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    key = np.sort(edges, axis=1)
    _, index, counts = np.unique(key, axis=0, return_index=True, return_counts=True)
    return np.stack([x, y], -1), faces, edges[index[counts == 1]]


def _inside(solid: Alpha, x: Floats, y: Floats) -> Floats:
    """How many pixels inside the silhouette each point is."""
    inside = ndimage.distance_transform_edt(solid >= 128)
    return np.asarray(ndimage.map_coordinates(inside, [y - 0.5, x - 0.5], order=1, mode="nearest"))


def _blown_up(inside: Floats, xs: Floats, front: Floats, rays: Floats, view: View) -> tuple[Floats, Floats, Footprint]:
    """Front and back depth along each ray, for a product without a foot, which touches the floor at its lowest point: as deep
    as a ball (a ring, a pear) whose outline is as far away. `inside` is in units."""
    touching = float(front.min())
    radius = float(inside.max())
    depth = np.sqrt(np.maximum(inside * (2 * radius - inside), 0))
    ahead = np.hypot(view.forward[0], view.forward[1])
    level = np.array([view.forward[0], view.forward[1], 0.0]) / ahead
    middle = (touching - float(np.asarray(view.origin) @ level)) / (rays @ level)
    fall = rays[:, 2]
    floor = np.where(fall < -1e-9, -view.origin[2] / np.minimum(fall, -1e-9), np.inf)
    near, far = np.minimum(middle - depth, floor), np.minimum(middle + depth, floor)
    thin = 1e-3
    footprint = Footprint(float(xs[0]), float(xs[-1]), touching - radius, touching + radius)
    return near - thin, np.maximum(far - thin, near), footprint


def _standing(xs: Floats, front: Floats, rays: Floats, view: View) -> tuple[Floats, Floats, Footprint]:
    """Front and back depth along each ray, for a product that stands on the floor."""
    half = float(xs[-1] - xs[0]) / 2
    middle = _half_depth(xs, front, half)
    front = np.minimum(front, middle)
    least = 0.16 * 2 * half
    back = np.maximum(2 * middle - front, front + least)
    origin, forward = np.asarray(view.origin), np.asarray(view.forward)
    # The prism in coordinates of the camera's heading: a lateral and a level axis on the floor.
    right = np.asarray(view.right)
    level = np.array([forward[0], forward[1], 0.0]) / np.hypot(forward[0], forward[1])
    lateral, ahead, fall = rays @ right, rays @ level, rays[:, 2]
    start = float(origin @ level)
    t_near, t_far = np.empty(len(rays)), np.empty(len(rays))
    # The lateral position hardly changes along a ray inside the body: two rounds settle it.
    t_near[:] = view.distance
    t_far[:] = view.distance
    for _ in range(3):
        t_near = (np.interp(lateral * t_near, xs, front) - start) / ahead
        t_far = (np.interp(lateral * t_far, xs, back) - start) / ahead
    floor = np.where(fall < -1e-9, -origin[2] / np.minimum(fall, -1e-9), np.inf)
    t_near, t_far = np.minimum(t_near, floor), np.minimum(t_far, floor)
    lowest_top = np.minimum(origin[2] + fall * t_near, origin[2] + fall * t_far)
    cap = float(lowest_top.max()) * 1.04 + 1e-3
    entering = np.where(
        (fall < -1e-9) & (origin[2] + fall * t_near > cap), (cap - origin[2]) / np.minimum(fall, -1e-9), t_near
    )
    t_near = np.minimum(entering, t_far)
    thin = 1e-3
    footprint = Footprint(float(xs[0]), float(xs[-1]), float(front.min()), float(back.max()))
    return t_near - thin, np.maximum(t_far - thin, t_near), footprint


def _half_depth(lateral: Floats, front: Floats, half: float) -> float:
    """How far behind its foremost point the footprint is widest: that of the ellipse which recedes as its front edge does at
    0.8 of the half width. So the rounded corners of a box or a bag, which rise like something that lies far behind, do not
    count as its depth. Nothing is deeper than it is wide."""
    middle = (lateral[0] + lateral[-1]) / 2
    receding = float(np.interp(middle + 0.8 * half * np.array([-1.0, 1.0]), lateral, front).mean())
    return min(float(front.max()), receding / 0.4, half)


def _footprint_front(foot: Alpha, view: View) -> tuple[Floats, Floats, float]:
    """The front edge of the footprint: lateral positions (ascending), how far behind the origin it lies there, and the share of
    the width that overhangs it."""
    solid = foot >= 128
    columns = np.flatnonzero(solid.any(axis=0))
    lowest = (len(solid) - np.argmax(solid[::-1], axis=0))[columns].astype(np.float64)
    x = columns + 0.5
    hull = _lower_hull(np.stack([x, lowest], -1))
    px = np.linspace(x[0], x[-1], 129)
    py = np.interp(px, hull[:, 0], hull[:, 1])
    rays = view.rays(px, py)
    origin = np.asarray(view.origin)
    level = np.array([view.forward[0], view.forward[1], 0.0])
    level /= np.linalg.norm(level)
    falling = rays[:, 2] < -1e-6
    t = np.where(falling, -origin[2] / np.where(falling, rays[:, 2], -1.0), np.inf)
    ahead = np.where(falling, origin @ level + (rays @ level) * np.where(falling, t, 0), np.inf)
    lateral = (rays @ np.asarray(view.right)) * view.distance
    ahead = np.maximum(ahead, 0.0)
    start = int(np.argmin(ahead))
    overhanging = 0
    # What overhangs the foot (a bowl, a handle) rises faster than a round foot could: it has no footprint.
    for step in (1, -1):
        for i in range(start + step, len(px) if step == 1 else -1, step):
            if ahead[i] > 1.1 * abs(lateral[i] - lateral[start]) + 0.01:
                ahead[i] = ahead[i - step]
                overhanging += 1
    return lateral, ahead, overhanging / len(px)


def _lower_hull(points: Floats) -> Floats:
    """The lower boundary (largest y) of the convex hull of points with ascending x."""
    hull: list[Floats] = []
    for point in points:
        while len(hull) >= 2:
            a, b = hull[-2], hull[-1]
            if (b[0] - a[0]) * (point[1] - a[1]) - (b[1] - a[1]) * (point[0] - a[0]) < 0:
                break
            hull.pop()
        hull.append(point)
    return np.asarray(hull)


def _flat(cover: Floats, vertices: Floats, rays: Floats, view: View) -> tuple[Floats, Floats, Footprint]:
    """Front and back depth along each ray, for a product that lies on the floor seen from above: its rim stands off
    the floor, so that it casts a shadow all round."""
    solid, unit = cover >= 0.5, max(cover.shape) - 3  # cells; the samples have a clear rim
    inside = ndimage.distance_transform_edt(solid) / unit
    reach = float(inside.max())
    rim, middle = _lying_heights(2 * reach)
    rounded = np.sqrt(1 - (1 - np.clip(inside / (0.6 * reach + 1e-9), 0, 1)) ** 2)
    rise = np.minimum(rim + (middle - rim) * rounded, _thickness(inside * unit, rim * unit) / unit)
    h = ndimage.map_coordinates(rise, [vertices[:, 1], vertices[:, 0]], order=1, mode="nearest")
    fall = np.minimum(rays[:, 2], -1e-9)
    z = view.origin[2]
    floor = (1e-3 - z) / fall
    across, along = (np.asarray(view.origin)[:2] + rays[:, :2] * floor[:, None]).T
    footprint = Footprint(float(across.min()), float(across.max()), float(along.min()), float(along.max()))
    return (h - z) / fall, floor, footprint


def _lying_heights(width: float) -> tuple[float, float]:
    """How high a product of such a width lies, at its rim and in its middle, in units. Nothing in its outline tells; of what
    shops lay down, what is narrow is a bottle, a shoe, a tool, and what is as wide as long a shirt, a plate, a book."""
    rim = min(0.25 * width, 0.14 - 0.11 * width)
    return rim, rim + min(0.1, 0.2 * width)


def _thickness(inside: Floats, most: float) -> Floats:
    """How thick each part of a silhouette is, `inside` being how far its points are from its rim: the diameter of the largest
    disc that covers the point and no more than the silhouette. From `most` on it counts as infinite; a strand is no wall."""
    thick = np.zeros_like(inside)
    for radius in range(1, int(min(most / 2, inside.max())) + 2):
        middles = inside >= radius
        if middles.any():  # their discs, and the cell beyond: the outline runs between
            thick[ndimage.distance_transform_edt(~middles) <= radius] = 2 * radius
    return np.where(thick >= most, np.inf, thick)


def _texture(foreground: RGB, alpha: Alpha, box: Box, longest: int = 768) -> tuple[RGB, Box]:
    """The product's own pixels over its bounding box; where it is clear, its nearest colours."""
    region = Box(max(box.left, 0), max(box.top, 0), min(box.right, alpha.shape[1]), min(box.bottom, alpha.shape[0]))
    cut = np.s_[region.top : region.bottom, region.left : region.right]
    solid = alpha[cut] >= 128
    nearest = ndimage.distance_transform_edt(~solid, return_distances=False, return_indices=True)
    pixels = foreground[cut][tuple(nearest)]
    image = Image.fromarray(np.ascontiguousarray(pixels))
    image.thumbnail((longest, longest), Image.Resampling.BOX)
    return np.asarray(image), region
