"""From descriptions to Mitsuba: a set as it is lit, and the same set showing nothing but its surfaces' own colours or relief."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from pergai.runners.render.camera import View
from pergai.runners.render.colour import LUMINANCE
from pergai.runners.render.geometry import Mesh
from pergai.runners.render.materials import Surface, Texture
from pergai.runners.render.slopes import Relief, bump, normals

Floats = npt.NDArray[np.float32]
Solid = tuple[Mesh, Surface]
Made = dict[int, tuple[Any, Any]]
"""Textures and surfaces that Mitsuba has already, with their descriptions, by the identity of these: the same set as it is lit
and as it is coloured has the same textures, and a floor of several pieces one surface."""

METALS = {"Au": (1.0, 0.77, 0.34), "Cu": (0.95, 0.64, 0.54), "Cr": (0.55, 0.56, 0.56)}
"""What share of red, green and blue light each metal mirrors (normal incidence, linear)."""


LEAST_CHOSEN = 0.3
"""Of how often lights are chosen on average, how often each is at least: a weak lamp may be the only one that reaches a place."""
MIDDLE = (0.0, 0.0, 0.35)
"""Of the product, in units."""

ALIGNMENT = 64
"""Bytes."""

HAIR = 0.1
"""Degrees that a texture with a relief is turned more than it should be. Mitsuba's `bumpmap` takes the direction of u, which it
knows in the world's axes, for one in the surface's own: where that runs straight up and the relief is flat, light was no
number."""

RELIEF = "vertex_relief"
"""What a solid's relief is known by to Mitsuba."""


def lit(
    mi: Any,
    view: View,
    aperture: float,
    solids: tuple[Solid, ...],
    emitters: tuple[Mapping[str, Any], ...],
    made: Made,
) -> Any:
    """The set under its lamps. `aperture` is the radius of the lens in units.

    A path asks one lamp at each step. It asks them as often as they are bright at the product, or half of the noise would come
    from looking at those that give next to nothing. It hardly ever asks the sky (`lights.SKY_ASKED`).
    """
    scene: dict[str, Any] = {"type": "scene", "sensor": sensor(mi, view, aperture)}
    lamps = [emitter["emitter"]["sampling_weight"] for emitter in emitters if "emitter" in emitter]
    powers = [_power(mesh, surface) for mesh, surface in solids] + lamps
    least = LEAST_CHOSEN * sum(powers) / max(sum(power > 0 for power in powers), 1)
    for i, (mesh, surface) in enumerate(solids):
        shine = None
        if surface.glow is not None:
            glow = {"type": "rgb", "value": list(surface.glow)}
            shine = {"radiance": glow, "sampling_weight": least + _power(mesh, surface)}
        scene[f"solid{i}"] = _mesh(mi, f"solid{i}", mesh, surface, _once(mi, surface.bsdf, made), shine)
    for i, emitter in reversed(tuple(enumerate(emitters))):
        scene[f"emitter{i}"] = _lamp(mi, _real(mi, _chosen(emitter, least)))
    return mi.load_dict(scene)


def _lamp(mi: Any, emitter: dict[str, Any]) -> Any:
    """Where a rectangle stands would be written into Dr.Jit's kernel: another one to compile for every place of a lamp."""
    import drjit as dr

    real = mi.load_dict(emitter)
    if emitter["type"] in {"rectangle", "disk"}:
        parameters = mi.traverse(real)
        dr.make_opaque(parameters["to_world"])
        parameters.update()
    return real


def _power(mesh: Mesh, surface: Surface) -> float:
    """About the radiance of a white surface at the product that a shining solid gives."""
    if surface.glow is None:
        return 0.0
    a, b, c = (mesh.vertices[mesh.faces[:, k]] for k in range(3))
    area = float(np.linalg.norm(np.cross(b - a, c - a), axis=-1).sum()) / 2
    distance = max(float(np.linalg.norm(mesh.vertices.mean(axis=0) - MIDDLE)), 0.5)
    return float(np.asarray(surface.glow) @ LUMINANCE) * area / (4 * np.pi * distance**2)


def _chosen(emitter: Mapping[str, Any], least: float) -> Mapping[str, Any]:
    """A lamp that is asked more often by `least`; a sky as it is."""
    if "emitter" not in emitter:
        return emitter
    shine = emitter["emitter"]
    return {**emitter, "emitter": {**shine, "sampling_weight": least + shine["sampling_weight"]}}


def coloured(
    mi: Any,
    view: View,
    aperture: float,
    solids: tuple[Solid, ...],
    made: Made,
    raised: Mapping[int, Relief] | None = None,
) -> Any:
    """The set with every surface shining evenly in its own colour: what the camera sees of it is the albedo, in one step of a
    path. (Mitsuba's own `albedo` AOV costs four times as much, and is black for metals.)

    With surfaces `raised` (see `slopes`), each solid has the attribute `RELIEF` besides: the normals of its relief over it,
    (0, 0, 1) for all others, as Mitsuba's `bumpmap` tilts them.
    """
    scene: dict[str, Any] = {"type": "scene", "sensor": sensor(mi, view, aperture)}
    plain = mi.load_dict({"type": "diffuse"})
    flat = mi.load_dict({"type": "rgb", "value": [0.0, 0.0, 1.0]})
    tilted = {relief: mi.load_dict(_real(mi, _normals(relief))) for relief in raised.values()} if raised else {}
    for i, (mesh, surface) in enumerate(solids):
        shown = _facing(mesh, np.asarray(view.origin))
        shine = {"radiance": _real(mi, _colour(surface.bsdf), made)}
        scene[f"solid{i}"] = _mesh(mi, f"solid{i}", shown, surface, plain, shine)
        if raised:
            relief = raised.get(id(surface))
            scene[f"solid{i}"].add_texture_attribute(RELIEF, flat if relief is None else tilted[relief])
    return mi.load_dict(scene)


def _normals(relief: Relief) -> Mapping[str, Any]:
    """Between four texels of a height each: half a texel further on."""
    half = -0.5 / relief.height.shape[1]
    return {"type": "bitmap", "raw": True, "bitmap": Texture(normals(relief), raw=True), "to_uv": ("moved", half)}


def _facing(mesh: Mesh, eye: npt.NDArray[np.float64]) -> Mesh:
    """The mesh with all its triangles turned to the eye: light leaves a surface at its front only."""
    a, b, c = (mesh.vertices[mesh.faces[:, k]] for k in range(3))
    away = np.einsum("ij,ij->i", np.cross(b - a, c - a), eye.astype(np.float32) - a) < 0
    faces = mesh.faces.copy()
    faces[away, 1], faces[away, 2] = mesh.faces[away, 2], mesh.faces[away, 1]
    return replace(mesh, faces=faces, normals=None)


def _colour(bsdf: Mapping[str, Any]) -> Any:
    """The texture or the colour of a description; grey where it has none, white for glass."""
    for name in ("reflectance", "base_color", "diffuse_reflectance", "specular_reflectance"):
        if name in bsdf:
            return bsdf[name]
    if "bsdf" in bsdf:
        return _colour(bsdf["bsdf"])
    plain = METALS.get(str(bsdf.get("material")), (0.6, 0.6, 0.6))
    return {"type": "rgb", "value": [1.0, 1.0, 1.0] if "dielectric" in str(bsdf["type"]) else list(plain)}


def sensor(mi: Any, view: View, aperture: float) -> dict[str, Any]:
    """A lens shift is a crop of a larger film whose middle looks along the camera's axis."""
    cx, cy = round(view.centre[0]), round(view.centre[1])
    half_width, half_height = max(cx, view.width - cx), max(cy, view.height - cy)
    to_world = mi.ScalarTransform4f().look_at(
        origin=list(view.origin),
        target=[o + f for o, f in zip(view.origin, view.forward, strict=True)],
        up=list(view.up),
    )
    camera: dict[str, Any] = {
        "type": "perspective",
        "to_world": to_world,
        "fov_axis": "x",
        "fov": float(np.degrees(2 * np.arctan(half_width / view.focal))),
        "near_clip": 0.05,
        "far_clip": 500.0,
        "film": {
            "type": "hdrfilm", "width": 2 * half_width, "height": 2 * half_height,
            "crop_offset_x": half_width - cx, "crop_offset_y": half_height - cy,
            "crop_width": view.width, "crop_height": view.height,
            "rfilter": {"type": "box"}, "pixel_format": "rgb", "component_format": "float32",
        },
        "sampler": {"type": "multijitter"},  # Kensler 2013: even over a pixel, its lights and the lens, unlike its neighbours
    }  # fmt: skip
    if aperture > 0:
        camera |= {"type": "thinlens", "aperture_radius": aperture, "focus_distance": view.distance}
    return camera


def _mesh(mi: Any, name: str, mesh: Mesh, surface: Surface, bsdf: Any, shine: Any) -> Any:
    properties = mi.Properties()
    properties["bsdf"] = bsdf
    if shine is not None:
        properties["emitter"] = mi.load_dict({"type": "area", **shine})
    smooth = mesh.normals is not None
    real = mi.Mesh(
        name, vertex_count=len(mesh.vertices), face_count=len(mesh.faces), has_vertex_normals=smooth,
        has_vertex_texcoords=True, props=properties,
    )  # fmt: skip
    parameters = mi.traverse(real)
    parameters["vertex_positions"] = _aligned(mesh.vertices, np.float32)
    parameters["faces"] = _aligned(mesh.faces, np.uint32)
    parameters["vertex_texcoords"] = _aligned(_texture_space(mesh, surface), np.float32)
    if mesh.normals is not None:
        parameters["vertex_normals"] = _aligned(mesh.normals, np.float32)
    parameters.update()
    return real


def _aligned(array: npt.NDArray[Any], kind: type[np.generic]) -> npt.NDArray[Any]:
    """The values in a row, where Dr.Jit can take them as they are. It compiles another kernel for memory that does not begin at a
    multiple of `ALIGNMENT`, and NumPy's does or does not by chance: the same set then waited for a compiler at every picture."""
    values = np.asarray(array, kind).ravel()
    memory = np.empty(values.nbytes + ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % ALIGNMENT
    aligned = memory[start : start + values.nbytes].view(kind)
    aligned[:] = values
    return aligned


def _texture_space(mesh: Mesh, surface: Surface) -> Floats:
    if not surface.period:
        return mesh.uv
    a = np.radians(surface.turn + (HAIR if bump(surface) else 0.0))
    rotation = np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]])
    return np.asarray(mesh.uv @ rotation.T / surface.period + np.asarray(surface.offset), np.float32)


def _once(mi: Any, node: Mapping[str, Any], made: Made) -> Any:
    """What a description describes, made no second time."""
    if id(node) not in made:
        made[id(node)] = (node, mi.load_dict({key: _real(mi, value, made) for key, value in node.items()}))
    return made[id(node)][1]


def _real(mi: Any, node: Any, made: Made | None = None) -> Any:
    """A description with its textures and transforms made real."""
    if isinstance(node, Texture):
        array = node.array if node.array.ndim == 3 else node.array[..., None]
        bitmap = mi.Bitmap(np.require(array, requirements=["C", "W"]))
        bitmap.set_srgb_gamma(not node.raw)
        return bitmap
    if isinstance(node, Mapping):
        if made is not None and isinstance(node.get("bitmap"), Texture):
            return _once(mi, node, made)
        return {key: _real(mi, value, made) for key, value in node.items()}
    if isinstance(node, tuple) and node and node[0] == "facing":
        _, origin, target, (width, height) = node
        up = (
            [0, 0, 1]
            if abs(target[2] - origin[2]) < 0.99 * float(np.linalg.norm(np.subtract(target, origin)))
            else [0, 1, 0]
        )
        frame = mi.ScalarTransform4f().look_at(origin=origin, target=target, up=up)
        return frame @ mi.ScalarTransform4f().scale([width, height, 1])
    if isinstance(node, tuple) and node and node[0] == "moved":
        return mi.ScalarTransform3f().translate([node[1], node[1]])
    if isinstance(node, tuple) and node and node[0] == "upright":
        return mi.ScalarTransform4f().rotate([1, 0, 0], 90)
    return node
