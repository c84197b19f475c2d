"""Mitsuba 3 as a model of the engine: a fully described set in, its light out.

A payload is a `Take`; everything that decides about the picture is in it, so the same payload gives the same bytes.
"""

from __future__ import annotations

import ctypes.util
import logging
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pergai.cards.structs import ModelCard
from pergai.errors import JobError, ModelUnavailable
from pergai.runners.render.camera import View
from pergai.runners.render.denoise import denoise
from pergai.runners.render.geometry import Mesh
from pergai.runners.render.materials import Surface, Texture

log = logging.getLogger(__name__)

Floats = npt.NDArray[np.float32]

VARIANTS = {"cuda": "cuda_ad_rgb", "llvm": "llvm_ad_rgb", "scalar": "scalar_rgb"}
NEWEST_LLVM, OLDEST_LLVM = 22, 16
"""LLVM 15 crashes while it generates code, 14 is not understood."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Take:
    """One exposure: what stands before the camera, and how long to look."""

    view: View
    aperture: float
    """Radius of the lens in units."""
    solids: tuple[tuple[Mesh, Surface], ...]
    emitters: tuple[Mapping[str, Any], ...]
    samples: int
    """Paths a pixel."""
    depth: int
    """Longest path."""
    seed: int


@dataclass(frozen=True, slots=True)
class Light:
    """What came back, each (height, width, 3)."""

    colour: Floats
    """Linear light, denoised."""
    albedo: Floats
    """What share of the light each surface gives back, with the camera's own blur."""
    normal: Floats


class Renderer:
    """A `Model` of the engine."""

    max_batch = 1

    def __init__(self, variant: str, guide_samples: int) -> None:
        self.variant = variant
        self.guide_samples = guide_samples

    def run(self, payloads: Sequence[Take]) -> list[Light]:
        return [self._expose(take) for take in payloads]

    def _expose(self, take: Take) -> Light:
        import mitsuba as mi

        mi.set_variant(VARIANTS[self.variant])
        scene = mi.load_dict(_scene(mi, take))
        path = mi.load_dict({"type": "path", "max_depth": take.depth, "rr_depth": 4})
        guide = mi.load_dict({"type": "aov", "aovs": "albedo:albedo,normal:sh_normal"})
        colour = _average(mi, scene, path, take.samples, take.seed)[..., :3]
        aovs = _average(mi, scene, guide, self.guide_samples, take.seed)
        albedo, normal = aovs[..., -6:-3], aovs[..., -3:]
        if not np.isfinite(colour).any():
            raise JobError("the renderer returned no light at all")
        return Light(denoise(_without_fireflies(colour), albedo, normal), albedo, normal)


def _average(mi: Any, scene: Any, integrator: Any, samples: int, seed: int) -> Floats:
    """The mean of `samples` renders of one path a pixel. The vectorised variants add the paths of a pixel up in any order,
    and floats then differ in their last bits from run to run; one path at a time, there is no order, and less memory."""
    total: Floats | None = None
    for number in range(samples):
        one = np.array(mi.render(scene, integrator=integrator, spp=1, seed=(seed * 4096 + number) % 2**32), np.float32)
        total = one if total is None else total + one
    if total is None:
        raise ValueError("at least one sample is needed")
    return total / np.float32(samples)


def load(card: ModelCard, folder: Path, device: str) -> Renderer:  # noqa: ARG001 - the signature of all loaders
    """The renderer in the fastest variant that works here: cuda, llvm, scalar.

    `card.options`: `variants` (which to try, in order), `guide_samples`. Raises ModelUnavailable when none works.
    """
    wanted = card.options.get("variants", list(VARIANTS))
    guides = int(card.options.get("guide_samples", 1))
    for variant in wanted:
        if variant == "cuda" and not device.startswith("cuda"):
            continue
        if variant == "llvm" and not _find_llvm():
            continue
        trouble = _self_test(variant)
        if not trouble:
            return Renderer(variant, guides if variant == "scalar" else 4 * guides)
        log.warning("mitsuba variant %s does not work here: %s", variant, trouble)
    raise ModelUnavailable(f"no variant of Mitsuba works here (tried {', '.join(wanted)})")


def _find_llvm() -> bool:
    """Point Dr.Jit at an LLVM library that it can use."""
    if os.environ.get("DRJIT_LIBLLVM_PATH"):
        return True
    for version in range(NEWEST_LLVM, OLDEST_LLVM - 1, -1):
        found = ctypes.util.find_library(f"LLVM-{version}")
        if found:
            os.environ["DRJIT_LIBLLVM_PATH"] = found
            return True
    return False


_SELF_TEST = """
import mitsuba as mi, numpy as np
mi.set_variant("VARIANT")
camera = mi.ScalarTransform4f().look_at([0, -4, 0], [0, 0, 0], [0, 0, 1])
film = {"type": "hdrfilm", "width": 8, "height": 8}
scene = mi.load_dict({
    "type": "scene", "light": {"type": "constant"}, "ball": {"type": "sphere"}, "integrator": {"type": "path"},
    "camera": {"type": "perspective", "to_world": camera, "film": film},
})
picture = np.array(mi.render(scene, spp=4))
assert np.isfinite(picture).all() and 0.2 < picture.mean() < 1.5
"""


def _self_test(variant: str) -> str:
    """Render a grey ball in a child process, so that a crash there is not ours. "" when it went well."""
    code = _SELF_TEST.replace("VARIANT", VARIANTS[variant])
    try:
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    except subprocess.TimeoutExpired:
        return "the self-test took more than two minutes"
    if done.returncode == 0:
        return ""
    lines = done.stderr.strip().splitlines()
    return lines[-1] if lines else f"the self-test ended with code {done.returncode}"


def _scene(mi: Any, take: Take) -> dict[str, Any]:
    scene: dict[str, Any] = {"type": "scene", "sensor": _sensor(mi, take)}
    for i, (mesh, surface) in enumerate(take.solids):
        scene[f"solid{i}"] = _mesh(mi, f"solid{i}", mesh, surface)
    for i, emitter in enumerate(take.emitters):
        scene[f"emitter{i}"] = _real(mi, emitter)
    return scene


def _sensor(mi: Any, take: Take) -> dict[str, Any]:
    """A lens shift is a crop of a larger film whose middle looks along the camera's axis."""
    view = take.view
    cx, cy = round(view.centre[0]), round(view.centre[1])
    half_width, half_height = max(cx, view.width - cx), max(cy, view.height - cy)
    to_world = mi.ScalarTransform4f().look_at(
        origin=list(view.origin),
        target=[o + f for o, f in zip(view.origin, view.forward, strict=True)],
        up=list(view.up),
    )
    sensor: dict[str, Any] = {
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
        "sampler": {"type": "independent", "sample_count": take.samples},
    }  # fmt: skip
    if take.aperture > 0:
        sensor |= {"type": "thinlens", "aperture_radius": take.aperture, "focus_distance": view.distance}
    return sensor


def _mesh(mi: Any, name: str, mesh: Mesh, surface: Surface) -> Any:
    properties = mi.Properties()
    properties["bsdf"] = mi.load_dict(_real(mi, surface.bsdf))
    if surface.glow is not None:
        radiance = {"type": "rgb", "value": list(surface.glow)}
        properties["emitter"] = mi.load_dict({"type": "area", "radiance": radiance})
    smooth = mesh.normals is not None
    real = mi.Mesh(
        name, vertex_count=len(mesh.vertices), face_count=len(mesh.faces), has_vertex_normals=smooth,
        has_vertex_texcoords=True, props=properties,
    )  # fmt: skip
    parameters = mi.traverse(real)
    parameters["vertex_positions"] = np.ascontiguousarray(mesh.vertices, np.float32).ravel()
    parameters["faces"] = np.ascontiguousarray(mesh.faces, np.uint32).ravel()
    parameters["vertex_texcoords"] = np.ascontiguousarray(_texture_space(mesh, surface), np.float32).ravel()
    if mesh.normals is not None:
        parameters["vertex_normals"] = np.ascontiguousarray(mesh.normals, np.float32).ravel()
    parameters.update()
    return real


def _texture_space(mesh: Mesh, surface: Surface) -> Floats:
    if not surface.period:
        return mesh.uv
    a = np.radians(surface.turn)
    rotation = np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]])
    return np.asarray(mesh.uv @ rotation.T / surface.period + np.asarray(surface.offset), np.float32)


def _real(mi: Any, node: Any) -> Any:
    """A description with its textures and transforms made real."""
    if isinstance(node, Texture):
        array = node.array if node.array.ndim == 3 else node.array[..., None]
        bitmap = mi.Bitmap(np.array(array, order="C"))  # a copy: the original may be read-only
        bitmap.set_srgb_gamma(not node.raw)
        return bitmap
    if isinstance(node, Mapping):
        return {key: _real(mi, value) for key, value in node.items()}
    if isinstance(node, tuple) and node and node[0] == "facing":
        _, origin, target, (width, height) = node
        up = (
            [0, 0, 1]
            if abs(target[2] - origin[2]) < 0.99 * float(np.linalg.norm(np.subtract(target, origin)))
            else [0, 1, 0]
        )
        frame = mi.ScalarTransform4f().look_at(origin=origin, target=target, up=up)
        return frame @ mi.ScalarTransform4f().scale([width, height, 1])
    if isinstance(node, tuple) and node and node[0] == "upright":
        return mi.ScalarTransform4f().rotate([1, 0, 0], 90)
    return node


def _without_fireflies(colour: Floats) -> Floats:
    """Single pixels far brighter than everything around them are brought down to their neighbours' level."""
    from scipy import ndimage

    level = np.nan_to_num(colour).max(axis=-1)
    ring = np.ones((3, 3), bool)
    ring[1, 1] = False
    brightest = ndimage.maximum_filter(level, footprint=ring, mode="nearest")
    limit = np.maximum(brightest * 1.5, 1e-4)
    factor = np.minimum(1.0, limit / np.maximum(level, 1e-6))
    cleaned: Floats = (np.nan_to_num(colour) * factor[..., None]).astype(np.float32)
    return cleaned
