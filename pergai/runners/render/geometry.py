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
    """A piece of ground; `height(x, y)` gives its relief, `n` points along each side, the closer the nearer to the origin."""
    gx, gy = np.meshgrid(_spread(*x, n), _spread(*y, n))
    flat_x, flat_y = gx.astype(np.float32), gy.astype(np.float32)
    gz = np.zeros_like(flat_x) if height is None else height(flat_x, flat_y)
    return sheet(np.stack([flat_x, flat_y, gz], -1), np.stack([flat_x, flat_y], -1), smooth=height is not None)


NEAR = 2.5
"""Units from the origin from which on points of the ground lie ever farther apart."""


def _spread(start: float, stop: float, n: int) -> npt.NDArray[np.float64]:
    return np.asarray(NEAR * np.sinh(np.linspace(np.arcsinh(start / NEAR), np.arcsinh(stop / NEAR), n)))


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
        side[:, None] * np.cos(angle)[None, :, None] - other[:, None] * np.sin(angle)[None, :, None]
    )
    length = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(path, axis=0), axis=1))])
    uv = np.stack(np.broadcast_arrays(length[:, None], angle[None] * radius), -1)
    return sheet(points.astype(np.float32), uv.astype(np.float32))
