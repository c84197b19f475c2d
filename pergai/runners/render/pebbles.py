"""A bed of pebbles: each comes to lie where it lies lowest, on those that lie there already. Lengths and uv as in `geometry`."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw
from scipy.spatial import ConvexHull

from pergai.runners.render.geometry import Array, Mesh, join, moved, sheet

Random = np.random.Generator

STONE = 1.8
"""What a stone covers on average, over the square of `radius`."""
LAYERS = 1.3
"""Stones laid, over those that would cover the ground side by side."""
FILLING = 0.45
"""Share of them that is small and laid last, into the gaps."""
TRIES = 8
"""Places of which a stone takes the lowest."""
RISE = 1.1
"""How high the topmost tenth lie over the plane, in radii: what is below the plane is out of sight."""
LEAST = 16
"""Cells of the smallest bed's side: room for its largest stone."""
NEAR = 0.9
"""Units from the product within which outlines are in focus and must be round."""


def shingle(
    x: tuple[float, float], y: tuple[float, float], radius: float, random: Random, taken: Array | None = None
) -> Mesh:
    """Water-worn stones on a piece of the plane z = 0, `radius` that of a middling one, as close as they lie round what is
    `taken`: the convex outline of these points (n, 2). Each takes its uv from another place, so that it has a tone of its own."""
    width, depth = x[1] - x[0], y[1] - y[0]
    cell = radius / 5
    ground = np.zeros((max(int(depth / cell), LEAST), max(int(width / cell), LEAST)), np.float32)
    if taken is not None:
        ground[_inside(taken - np.array([x[0], y[0]], np.float32), ground.shape, cell)] = np.inf
    count = max(int(LAYERS * width * depth / (STONE * radius**2)), 1)
    large = count - int(FILLING * count)
    laid = []
    for number in range(count):
        low, high = (0.75, 1.3) if number < large else (0.38, 0.7)
        long = radius * float(random.uniform(low, high))
        axes = long * np.array([1.0, random.uniform(0.68, 0.95), random.uniform(0.42, 0.62)], np.float32)
        turn = float(random.uniform(0, 360))
        half = _half(axes, turn, cell)
        row, column, z = _lowest(ground, half, random)
        if not np.isfinite(z):
            continue
        here = ground[row : row + len(half), column : column + len(half)]
        np.maximum(here, np.where(half > 0, z + half, 0), out=here)
        right, behind = x[0] + (column + len(half) / 2) * cell, y[0] + (row + len(half) / 2) * cell
        laid.append((axes, turn, np.array([right, behind, z], np.float32)))
    if not laid:  # what stands there covers the bed
        return shingle(x, y, radius, random)
    plane = float(np.quantile(ground[np.isfinite(ground)], 0.9)) - RISE * radius
    shapes = [[_worn(np.random.default_rng(int(seed)), n) for n in (9, 17)] for seed in random.integers(2**32, size=24)]
    stones = []
    for axes, turn, middle in laid:
        if middle[2] + axes[2] < plane:
            continue
        shape = shapes[int(random.integers(len(shapes)))][int(np.hypot(middle[0], middle[1]) < NEAR)]
        stone = moved(_drawn_out(shape, axes), (0, 0, 0), turn, float(random.uniform(-9, 9)))
        uv = stone.vertices[:, :2] + 0.7 * stone.vertices[:, 2:] + random.uniform(0, 9, 2).astype(np.float32)
        stones.append(replace(stone, vertices=stone.vertices + middle - np.array([0, 0, plane], np.float32), uv=uv))
    return join(stones)


def _inside(outline: Array, shape: tuple[int, int], cell: float) -> npt.NDArray[np.bool_]:
    """Which cells of a ground that begins at the origin lie in the convex hull of points (n, 2)."""
    cells = Image.new("1", shape[::-1])
    corners = outline[ConvexHull(outline).vertices] / cell - 0.5
    ImageDraw.Draw(cells).polygon([(float(x), float(y)) for x, y in corners], fill=1)
    return np.asarray(cells, np.bool_)


def _worn(random: Random, n: int) -> Mesh:
    """A stone of radius 1 around the origin, almost a ball; `n` points from pole to pole."""
    theta, phi = np.linspace(np.pi, 0, n)[:, None], np.linspace(0, 2 * np.pi, 2 * n)[None]
    ball = np.stack(np.broadcast_arrays(np.sin(theta) * np.cos(phi), np.sin(theta) * np.sin(phi), np.cos(theta)), -1)
    bump = sum(np.sin(f * (ball @ random.normal(0, 0.6, 3)) + random.uniform(0, 6)) for f in (1.6, 2.2, 3.0))
    points = ball * (1 + 0.07 * np.asarray(bump))[..., None]
    whole = sheet(points.astype(np.float32), points[..., :2].astype(np.float32))
    normals = np.empty_like(whole.vertices) if whole.normals is None else whole.normals.reshape(points.shape)
    normals[:, [0, -1]] = normals[:, :1] + normals[:, -1:]  # where the sheet meets itself
    normals[[0, -1]] = ball[[0, -1]]
    return replace(whole, normals=normals.reshape(-1, 3))


def _drawn_out(stone: Mesh, axes: Array) -> Mesh:
    """The stone stretched along x, y and z."""
    across = (np.zeros_like(stone.vertices) if stone.normals is None else stone.normals) / axes
    across /= np.linalg.norm(across, axis=1, keepdims=True)
    return replace(stone, vertices=stone.vertices * axes, normals=across)


def _half(axes: Array, turn: float, cell: float) -> Array:
    """Half the height of an ellipsoid over each cell of the square that it lies in; 0 beside it."""
    side = 2 * int(np.ceil(axes[0] / cell)) + 1
    along = (np.arange(side) - side // 2) * cell
    x, y = np.meshgrid(along, along)
    a = np.radians(turn)
    u, v = (x * np.cos(a) + y * np.sin(a)) / axes[0], (y * np.cos(a) - x * np.sin(a)) / axes[1]
    return np.asarray(axes[2] * np.sqrt(np.clip(1 - u * u - v * v, 0, None)), np.float32)


def _lowest(ground: Array, half: Array, random: Random) -> tuple[int, int, float]:
    """Row and column of the square, and the height of the stone's middle, at the best of a few places."""
    room = np.array(ground.shape) - len(half)
    found = []
    for row, column in random.integers(0, room, (TRIES, 2)).tolist():
        here = ground[row : row + len(half), column : column + len(half)]
        found.append((float(np.where(half > 0, here + half, 0).max()), row, column))
    z, row, column = min(found)
    return row, column, z
