"""Triangle meshes of everything a set is built from. Lengths and uv are in units; z is up."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]
Faces = npt.NDArray[np.uint32]


@dataclass(frozen=True, slots=True)
class Mesh:
    vertices: Array
    """(n, 3)."""
    faces: Faces
    """(m, 3)."""
    uv: Array
    """(n, 2), in units along the surface."""
    normals: Array | None = None
    """(n, 3) when the surface is smooth."""


def join(meshes: Sequence[Mesh]) -> Mesh:
    """Several meshes as one."""
    starts = np.cumsum([0, *(len(mesh.vertices) for mesh in meshes)])
    smooth = all(mesh.normals is not None for mesh in meshes)
    return Mesh(
        np.concatenate([mesh.vertices for mesh in meshes]),
        np.concatenate([mesh.faces + np.uint32(start) for mesh, start in zip(meshes, starts, strict=False)]),
        np.concatenate([mesh.uv for mesh in meshes]),
        np.concatenate([mesh.normals for mesh in meshes if mesh.normals is not None]) if smooth else None,
    )


def moved(mesh: Mesh, offset: Sequence[float] = (0, 0, 0), turn: float = 0.0, tilt: float = 0.0) -> Mesh:
    """Tilted about the x axis, then turned about the vertical (degrees), then shifted."""
    a, b = np.radians(turn), np.radians(tilt)
    about_z = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    about_x = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    rotation = (about_z @ about_x).astype(np.float32)
    normals = None if mesh.normals is None else mesh.normals @ rotation.T
    return replace(mesh, vertices=mesh.vertices @ rotation.T + np.asarray(offset, np.float32), normals=normals)


def scaled(mesh: Mesh, factor: float) -> Mesh:
    return replace(mesh, vertices=mesh.vertices * np.float32(factor), uv=mesh.uv * np.float32(factor))


def with_normals(mesh: Mesh) -> Mesh:
    """The same mesh, shaded smoothly: each vertex takes the mean of its faces, by area."""
    corners = mesh.vertices[mesh.faces]
    face = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals = np.zeros_like(mesh.vertices)
    for k in range(3):
        np.add.at(normals, mesh.faces[:, k], face)
    length = np.linalg.norm(normals, axis=1, keepdims=True)
    return replace(mesh, normals=(normals / np.maximum(length, 1e-12)).astype(np.float32))


def sheet(points: Array, uv: Array, smooth: bool = True) -> Mesh:
    """A grid of points (rows, columns, 3) as a surface."""
    rows, columns = points.shape[:2]
    index = np.arange(rows * columns, dtype=np.uint32).reshape(rows, columns)
    a, b, c, d = (x.ravel() for x in (index[:-1, :-1], index[:-1, 1:], index[1:, 1:], index[1:, :-1]))
    faces = np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)])
    mesh = Mesh(points.reshape(-1, 3).astype(np.float32), faces, uv.reshape(-1, 2).astype(np.float32))
    return with_normals(mesh) if smooth else mesh


def ground(
    x: tuple[float, float], y: tuple[float, float], height: Callable[[Array, Array], Array] | None = None, n: int = 2
) -> Mesh:
    """A piece of ground; `height(x, y)` gives its relief, `n` points along each side."""
    gx, gy = np.meshgrid(np.linspace(*x, n), np.linspace(*y, n))
    flat_x, flat_y = gx.astype(np.float32), gy.astype(np.float32)
    gz = np.zeros_like(flat_x) if height is None else height(flat_x, flat_y)
    return sheet(np.stack([flat_x, flat_y, gz], -1), np.stack([flat_x, flat_y], -1), smooth=height is not None)


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


def lathe(profile: Sequence[tuple[float, float]], segments: int = 128) -> Mesh:
    """A profile of (radius, height) turned about the vertical. uv run round it and along it."""
    line = np.asarray(profile, np.float32)
    length = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(line, axis=0), axis=1))])
    angle = np.linspace(0, 2 * np.pi, segments + 1)
    r, z = line[:, :1], line[:, 1:]
    points = np.stack([r * np.cos(angle), r * np.sin(angle), np.broadcast_to(z, (len(line), segments + 1))], -1)
    mean = float(line[:, 0].max())
    uv = np.stack(np.broadcast_arrays(angle[None] * mean, length[:, None]), -1)
    return sheet(points.astype(np.float32), uv.astype(np.float32))


def disc(radius: float, z: float = 0.0, segments: int = 128) -> Mesh:
    """A flat disc facing up."""
    angle = np.linspace(0, 2 * np.pi, segments, endpoint=False)
    rim = np.stack([radius * np.cos(angle), radius * np.sin(angle), np.full(segments, z)], -1)
    vertices = np.concatenate([[[0, 0, z]], rim]).astype(np.float32)
    i = np.arange(segments, dtype=np.uint32)
    faces = np.stack([np.zeros_like(i), i + 1, (i + 1) % segments + 1], 1).astype(np.uint32)
    up = np.broadcast_to(np.array([0, 0, 1], np.float32), vertices.shape).copy()
    return Mesh(vertices, faces, vertices[:, :2].copy(), up)


def cylinder(radius: float, height: float, bevel: float = 0.012) -> Mesh:
    """A drum with rounded edges standing on z = 0."""
    bevel = min(bevel, height / 3, radius / 3)
    angle = np.linspace(0, np.pi / 2, 7)
    edge = [(radius - bevel + bevel * float(np.cos(a)), height - bevel + bevel * float(np.sin(a))) for a in angle]
    return join([lathe([(radius, 0.0), *edge]), disc(radius - bevel, height)])


def ball(radius: float, segments: int = 64) -> Mesh:
    """A sphere standing on z = 0."""
    angle = np.linspace(-np.pi / 2, np.pi / 2, segments // 2)
    return lathe([(radius * float(np.cos(a)), radius + radius * float(np.sin(a))) for a in angle], segments)


def cone(radius: float, height: float) -> Mesh:
    return lathe([(radius, 0.0), (radius * 0.02, height * 0.985), (0.0, height)])


def ring(radius: float, thickness: float, segments: int = 96) -> Mesh:
    """A torus standing upright on z = 0, its axis along y."""
    u = np.linspace(0, 2 * np.pi, segments + 1)[:, None]
    v = np.linspace(0, 2 * np.pi, 33)[None]
    r = radius + thickness * np.cos(v)
    points = np.stack(
        np.broadcast_arrays(r * np.cos(u), thickness * np.sin(v) + 0 * u, r * np.sin(u) + radius + thickness), -1
    )
    uv = np.stack(np.broadcast_arrays(u * radius, v * thickness), -1)
    return sheet(points.astype(np.float32), uv.astype(np.float32))


def block(width: float, depth: float, height: float, bevel: float = 0.012, n: int = 9) -> Mesh:
    """A box with rounded edges standing on z = 0; each side has its own flat uv."""
    half = np.array([width, depth, height]) / 2
    bevel = min(bevel, *(half * 0.9))
    inner = half - bevel
    sides = []
    for axis in range(3):
        u_axis, v_axis = (axis + 1) % 3, (axis + 2) % 3
        for sign in (-1.0, 1.0):
            offsets = [_edge_grid(inner[k], half[k], n) for k in (u_axis, v_axis)]
            gu, gv = np.meshgrid(*offsets)
            cube = np.zeros((*gu.shape, 3))
            cube[..., u_axis], cube[..., v_axis], cube[..., axis] = gu, gv, sign * half[axis]
            core = np.clip(cube, -inner, inner)
            outward = cube - core
            outward /= np.maximum(np.linalg.norm(outward, axis=-1, keepdims=True), 1e-9)
            points = core + bevel * outward + [0, 0, half[2]]
            uv = np.stack([gu, gv], -1) + axis * 0.37
            side = sheet(points.astype(np.float32), uv.astype(np.float32), smooth=False)
            faces = side.faces if sign > 0 else side.faces[:, ::-1].copy()
            sides.append(Mesh(side.vertices, faces, side.uv, outward.reshape(-1, 3).astype(np.float32)))
    return join(sides)


def _edge_grid(inner: float, half: float, n: int) -> npt.NDArray[np.float64]:
    edge = np.linspace(inner, half, n // 2 + 1)
    return np.concatenate([-edge[::-1], edge])


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


def tube(path: Array, radius: float, segments: int = 16) -> Mesh:
    """A round tube along a path (n, 3)."""
    tangent = np.gradient(path, axis=0)
    tangent /= np.maximum(np.linalg.norm(tangent, axis=1, keepdims=True), 1e-9)
    helper = np.where(np.abs(tangent[:, 2:]) < 0.9, [[0.0, 0.0, 1.0]], [[1.0, 0.0, 0.0]])
    side = np.cross(tangent, helper)
    side /= np.linalg.norm(side, axis=1, keepdims=True)
    other = np.cross(side, tangent)
    angle = np.linspace(0, 2 * np.pi, segments + 1)
    points = path[:, None] + radius * (
        side[:, None] * np.cos(angle)[None, :, None] + other[:, None] * np.sin(angle)[None, :, None]
    )
    length = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(path, axis=0), axis=1))])
    uv = np.stack(np.broadcast_arrays(length[:, None], angle[None] * radius), -1)
    return sheet(points.astype(np.float32), uv.astype(np.float32))


def blade(length: float, width: float, droop: float = 0.3, fold: float = 0.15, n: int = 13, blunt: float = 0.8) -> Mesh:
    """A leaf or petal: it starts at the origin along y, bends down by `droop`, folds up at its rim."""
    t = np.linspace(0, 1, n)
    outline = np.sin(np.pi * np.clip(t, 0, 1) ** blunt) ** 0.8 * width / 2
    s = np.linspace(-1, 1, 7)
    x = outline[:, None] * s[None]
    angle = droop * t[:, None]
    y = np.broadcast_to(length * t[:, None] * np.sinc(angle / np.pi), x.shape)
    z = -length * t[:, None] * np.sin(angle) * 0.8 + np.abs(s)[None] ** 1.5 * outline[:, None] * fold * 2
    return sheet(np.stack([x, y, z], -1).astype(np.float32), np.stack([x, y], -1).astype(np.float32))


def pebble(radius: float, flat: float, random: np.random.Generator, n: int = 40, rough: float = 0.16) -> Mesh:
    """A water-worn stone standing on z = 0; `flat` is its height over its width."""
    theta = np.linspace(0, np.pi, n)[:, None]
    phi = np.linspace(0, 2 * np.pi, 2 * n)[None]
    direction = np.stack(
        np.broadcast_arrays(np.sin(theta) * np.cos(phi), np.sin(theta) * np.sin(phi), np.cos(theta)), -1
    )
    bump = np.zeros(direction.shape[:2])
    for frequency, weight in ((1.3, 1.0), (2.4, 0.5), (4.5, 0.2)):
        for _ in range(3):
            axis, phase = random.normal(0, 1, 3), random.random() * 2 * np.pi
            bump += weight / 3 * np.sin(frequency * direction @ axis + phase)
    points = radius * direction * (1 + rough * bump)[..., None] * [1.0, random.uniform(0.75, 1.0), flat]
    points[..., 2] += radius * flat * (1 - rough * 0.3) * 0.92
    uv = np.stack(np.broadcast_arrays(phi * radius, theta * radius), -1)
    return sheet(points.astype(np.float32), uv.astype(np.float32))


def curtain(width: float, height: float, depth: float, folds: float, random: np.random.Generator) -> Mesh:
    """Cloth hanging in the plane y = 0 in soft folds of unequal width."""
    x = np.linspace(-width / 2, width / 2, int(width * 90))
    z = np.linspace(0, height, 12)
    phase = 2 * np.pi * folds * x + 1.6 * np.sin(2 * np.pi * x * folds * 0.23 + random.random() * 6)
    wave = np.sin(phase + 0.6 * np.sin(phase)) + 0.35 * np.sin(phase * 0.47 + random.random() * 6)
    lower = 1 + 0.15 * np.sin(z[:, None] * 0.8 + x[None] * 0.6)
    y = depth * wave[None] * lower
    gx, gz = np.broadcast_to(x[None], y.shape), np.broadcast_to(z[:, None], y.shape)
    return sheet(np.stack([gx, y, gz], -1).astype(np.float32), np.stack([gx, gz], -1).astype(np.float32))
