"""Meshes of what stands behind the product: sweeps, walls, arches, niches, curtains. Lengths and uv as in `geometry`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from pergai.runners.render.geometry import Array, Mesh, block, join, moved, sheet, with_normals


def extruded(profile: Array, width: float) -> Mesh:
    """A profile (n, 2) of (y, z) drawn out along x, smooth: cycloramas, walls, curtains' rails."""
    length = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(profile, axis=0), axis=1))])
    x = np.array([-width / 2, width / 2], np.float32)
    points = np.stack(
        [np.broadcast_to(x, (len(profile), 2)), *(np.repeat(profile[:, k : k + 1], 2, 1) for k in (0, 1))], -1
    )
    uv = np.stack([np.broadcast_to(x, (len(profile), 2)), np.repeat((length + profile[0, 0])[:, None], 2, 1)], -1)
    return sheet(points.astype(np.float32), uv)


def sweep(front: float, back: float, radius: float, height: float, width: float) -> Mesh:
    """A cyclorama: floor, quarter round, wall."""
    angle = np.linspace(0, np.pi / 2, 48)
    bend = np.stack([back - radius + radius * np.sin(angle), radius - radius * np.cos(angle)], -1)
    profile = np.concatenate([[[front, 0.0]], bend, [[back, height]]]).astype(np.float32)
    return extruded(profile, width)


def arch(width: float, depth: float, height: float, thickness: float) -> Mesh:
    """A round-headed arch standing on z = 0, open below."""
    radius = width / 2
    spring = max(height - radius, 0.0)
    angle = np.linspace(np.pi, 0, 49)
    straight = np.linspace(0, spring, 6)[:-1]

    def outline(r: float) -> Array:
        left = np.stack([np.full_like(straight, -r), straight], -1)
        top = np.stack([r * np.cos(angle), spring + r * np.sin(angle)], -1)
        right = np.stack([np.full_like(straight, r), straight[::-1]], -1)
        return np.concatenate([left, top, right]).astype(np.float32)

    outer, inner = outline(radius), outline(max(radius - thickness, 0.01))
    return _frame(outer, inner, depth)


def panel(width: float, depth: float, height: float) -> Mesh:
    """A solid round-headed panel: an arch without its opening."""
    radius = width / 2
    spring = max(height - radius, 0.0)
    angle = np.linspace(np.pi, 0, 65)
    top = np.stack([radius * np.cos(angle), spring + radius * np.sin(angle)], -1)
    outer = np.concatenate([[[-radius, 0]], top, [[radius, 0]]]).astype(np.float32)
    inner = np.stack([outer[:, 0], np.zeros(len(outer))], -1).astype(np.float32)
    return _frame(outer, inner, depth)


def _frame(outer: Array, inner: Array, depth: float) -> Mesh:
    """The area between two outlines (n, 2) of (x, z), drawn out along y."""
    sides = []
    for a, b, ya, yb in (
        (outer, inner, -depth / 2, -depth / 2), (inner, outer, depth / 2, depth / 2),
        (outer, outer, depth / 2, -depth / 2), (inner, inner, -depth / 2, depth / 2),
    ):  # fmt: skip
        strip = np.stack([
            np.stack([a[:, 0], np.full(len(a), ya), a[:, 1]], -1), np.stack([b[:, 0], np.full(len(b), yb), b[:, 1]], -1),
        ])  # fmt: skip
        if a is b:
            length = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(a, axis=0), axis=1))])
            uv = np.stack([np.stack([length, np.full(len(a), y)], -1) for y in (ya, yb)])
        else:
            uv = strip[..., [0, 2]]
        sides.append(sheet(strip.astype(np.float32), uv.astype(np.float32), smooth=a is b))
    flat = [side if side.normals is not None else with_normals(side) for side in sides]
    return join(flat)


def fluted(width: float, height: float, pitch: float, hollow: bool = False) -> Mesh:
    """A wall in the plane y = 0 of half-round ribs `pitch` apart; `hollow` ribs curve inwards."""
    count = int(width / pitch)
    angle = np.linspace(0, np.pi, 11)
    x = np.concatenate([(k + 0.5 - 0.5 * np.cos(angle)) * pitch for k in range(count)]) - count * pitch / 2
    y = np.tile((-0.42 if not hollow else 0.3) * pitch * np.sin(angle), count)
    length = np.concatenate([[0], np.cumsum(np.hypot(np.diff(x), np.diff(y)))])
    z = np.array([0, height])[:, None]
    points = np.stack(np.broadcast_arrays(x[None], y[None], z), -1)
    return sheet(points.astype(np.float32), np.stack(np.broadcast_arrays(length[None], z), -1).astype(np.float32))


def slats(width: float, height: float, pitch: float) -> Mesh:
    """Upright battens, each two thirds of the pitch wide, in front of the plane y = 0. Their uv run along the batten, every
    one from another place."""
    parts = []
    for k in range(int(width / pitch)):
        batten = moved(block(pitch * 0.66, pitch * 0.5, height, 0.006, n=3), ((k + 0.5) * pitch - width / 2, 0, 0))
        x, y, z = batten.vertices[:, 0] - (k + 0.5) * pitch + width / 2, batten.vertices[:, 1], batten.vertices[:, 2]
        uv = np.stack(
            [z + 0.5 * (x - y) + 0.731 * k, x + y + 0.37 * k], -1
        )  # nowhere degenerate, or bumps have no slope
        parts.append(replace(batten, uv=uv.astype(np.float32)))
    return join(parts)


def panelled(width: float, height: float, pitch: float) -> Mesh:
    """A wall in the plane y = 0 with upright panels `pitch` apart, each framed by a moulding, over a dado."""
    parts = [extruded(np.array([[0, 0], [0, height]], np.float32), width)]
    moulding, tall = 0.035, pitch * 1.9
    skirting = moved(block(width, 0.05, 0.17, 0.008), (0, -0.025, 0))
    parts += [skirting]
    for k in range(int(width / pitch)):
        x = (k + 0.5) * pitch - width / 2
        half = pitch * 0.41
        for low, high in ((0.28, 0.28 + pitch * 0.55), (0.42 + pitch * 0.55, 0.42 + pitch * 0.55 + tall)):
            for z in (low, high):
                parts.append(moved(block(2 * half + moulding, moulding, moulding, 0.012), (x, 0, z - moulding / 2)))
            for side in (-half, half):
                parts.append(moved(block(moulding, moulding, high - low, 0.012), (x + side, 0, low)))
    return join([part if part.normals is not None else with_normals(part) for part in parts])


def niche(width: float, height: float, depth: float, wall: tuple[float, float]) -> Mesh:
    """A wall in the plane y = 0 with a round-headed recess down to the floor. `wall` is its width and height."""
    radius, half = width / 2, wall[0] / 2
    middle = height - radius
    angle = np.linspace(np.pi, 0, 65)[:, None]
    ray = np.concatenate([np.cos(angle), np.sin(angle)], 1)
    far = np.minimum(half / np.maximum(np.abs(ray[:, :1]), 1e-6), (wall[1] - middle) / np.maximum(ray[:, 1:], 1e-6))
    opening = np.concatenate([[[-radius, 0]], [0, middle] + radius * ray, [[radius, 0]]])
    edge = np.concatenate([[[-half, 0]], [0, middle] + far * ray, [[half, 0]]])
    front = _ribbon(opening, edge, 0.0, 0.0, smooth=False)
    reveal = _ribbon(opening, opening, depth, 0.0, smooth=True)
    closed = np.concatenate([opening, opening[:1]])
    back = _ribbon(np.broadcast_to([[0.0, middle]], closed.shape), closed, depth, depth, smooth=False)
    return join([part if part.normals is not None else with_normals(part) for part in (front, reveal, back)])


def _ribbon(a: npt.NDArray[Any], b: npt.NDArray[Any], ya: float, yb: float, smooth: bool) -> Mesh:
    """The strip between two outlines (n, 2) of (x, z), the first at y = ya, the second at y = yb."""
    strip = np.stack([np.insert(np.asarray(a, np.float64), 1, ya, 1), np.insert(np.asarray(b, np.float64), 1, yb, 1)])
    if a is b:
        length = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(np.asarray(a), axis=0), axis=1))])
        uv = np.stack([np.stack([length, np.full(len(length), y)], -1) for y in (ya, yb)])
    else:
        uv = strip[..., [0, 2]]
    return sheet(strip.astype(np.float32), uv.astype(np.float32), smooth=smooth)


def vista(height: float, period: float, start: float) -> Mesh:
    """A wall in the plane y = 0 for a picture `height` units high that comes again every `period` units from `start` of it on;
    above and below it the picture's last and first rows go on. uv run 0-1 over the picture. It takes light as the slopes and
    the sky that it shows would, from above too."""
    x, z = np.array([-40.0, 40.0]), np.array([-8.0, 0.0, height, 30.0])
    u, v = x / period + start, np.array([0.001, 0.001, 0.999, 0.999])
    points = np.stack([*np.broadcast_arrays(x[None], 0.0, z[:, None])], -1)
    uv = np.stack(np.broadcast_arrays(u[None], v[:, None]), -1)
    wall = sheet(points.astype(np.float32), uv.astype(np.float32), smooth=False)
    lit = np.array([0.0, -(0.5**0.5), 0.5**0.5], np.float32)
    return replace(wall, normals=np.tile(lit, (len(wall.vertices), 1)))


TRAIN = 0.6
"""Radius, in units, of the bend in which a curtain turns from the wall to the ground."""


def curtain(width: float, height: float, depth: float, folds: float, random: np.random.Generator) -> Mesh:
    """Cloth hanging in the plane y = 0 in soft folds of unequal width that lean and merge a little on their way down; at the
    ground it turns towards the room, and its folds die away."""
    x = np.linspace(-width / 2, width / 2, int(width * 60))[None]
    turn, above = np.linspace(0, np.pi / 2, 14), np.linspace(0, 1, 16)[1:] ** 2 * (height - TRAIN)
    up = np.concatenate([TRAIN * (1 - np.cos(turn)), TRAIN + above])[:, None]
    out = np.concatenate([TRAIN * (np.sin(turn) - 1), 0 * above])[:, None]
    along = np.concatenate([TRAIN * turn, TRAIN * np.pi / 2 + above])[:, None]
    upright = np.concatenate([turn, 0 * above + np.pi / 2])[:, None]
    lean = 0.7 * np.sin(0.5 * up + 0.9 * x + random.random() * 6) * np.exp(-up / 4)
    phase = 2 * np.pi * folds * x + 1.6 * np.sin(2 * np.pi * x * folds * 0.23 + random.random() * 6) + lean
    pleat = np.sqrt(np.cos(phase / 2) ** 2 + 0.012)  # round towards the room, a narrow valley between two
    wave = 1.6 * pleat * (1 + 0.25 * np.sin(phase * 0.31)) - 0.4 * np.sin(phase * 0.47 + random.random() * 6)
    wave = depth * wave * (1 + 0.15 * np.sin(0.8 * up + 0.6 * x)) * np.sin(upright) ** 2
    points = np.stack(np.broadcast_arrays(x, out - wave * np.sin(upright), up + wave * np.cos(upright)), -1)
    uv = np.stack(np.broadcast_arrays(x, along), -1)
    return sheet(points.astype(np.float32), uv.astype(np.float32))
