"""Periodic random fields: the raw material of every procedural texture. All wrap round without a seam."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import fft, ndimage
from scipy.spatial import cKDTree

Field = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Maps:
    """What a texture gives to a surface. Planes are (size, size)."""

    colour: Field
    """(size, size, 3), sRGB 0-1."""
    roughness: Field | None = None
    """0-1."""
    relief: Field | None = None
    """Height, in texture widths."""


class Noise:
    """Random fields of one size from one seed; each call draws a new one."""

    def __init__(self, size: int, seed: int) -> None:
        self.size = size
        self.random = np.random.default_rng(seed)

    def cloud(self, scale: float, roughness: float = 2.0, reach: tuple[float, float] = (1.0, 1.0)) -> Field:
        """A Gaussian field of mean 0 and deviation 1 whose largest features are `scale` of the width.

        `roughness` is the exponent with which its amplitude falls with frequency (1 rough - 3 smooth). `reach` is
        how far its frequencies reach along x and y: (0.1, 1) draws features out along x to ten times their length.
        """
        n = self.size
        white = fft.rfft2(self.random.standard_normal((n, n), dtype=np.float32), workers=2)
        fy = fft.fftfreq(n, 1 / n).astype(np.float32)[:, None] / reach[1]
        fx = fft.rfftfreq(n, 1 / n).astype(np.float32)[None] / reach[0]
        f = np.sqrt(fx * fx + fy * fy) * scale
        white *= 1 / (1 + f * f) ** (roughness / 2)
        white[0, 0] = 0
        field = fft.irfft2(white, s=(n, n), workers=2).astype(np.float32)
        return np.asarray(field / max(float(field.std()), 1e-9))

    def fine(self, width: float = 1.0) -> Field:
        """White noise blurred over `width` texels, deviation 1."""
        field = ndimage.gaussian_filter(
            self.random.standard_normal((self.size, self.size), dtype=np.float32), width, mode="wrap"
        )
        return np.asarray(field / max(float(field.std()), 1e-9))

    def cells(self, count: int, neighbours: int = 2) -> tuple[Field, npt.NDArray[np.intp]]:
        """Worley cells: distances (size, size, neighbours) to the nearest points, in widths of a mean cell, and the
        index of the nearest point."""
        points = self.random.random((count, 2))
        tree = cKDTree(points, boxsize=1.0)
        axis = (np.arange(self.size) + 0.5) / self.size
        grid = np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1).reshape(-1, 2)
        distance, index = tree.query(grid, k=neighbours, workers=2)
        shape = (self.size, self.size, neighbours)
        return (distance.reshape(shape) * np.sqrt(count)).astype(np.float32), index[:, 0].reshape(shape[:2])

    def grid(self) -> tuple[Field, Field]:
        """x and y, 0-1."""
        axis = (np.arange(self.size, dtype=np.float32) + 0.5) / self.size
        return np.broadcast_to(axis[None], (self.size,) * 2), np.broadcast_to(axis[:, None], (self.size,) * 2)


def warp(field: Field, dx: Field, dy: Field) -> Field:
    """A field displaced by (dx, dy), in widths of the field."""
    n = field.shape[0]
    y, x = np.meshgrid(np.arange(n, dtype=np.float32), np.arange(n, dtype=np.float32), indexing="ij")
    warped: Field = ndimage.map_coordinates(field, [y + dy * n, x + dx * n], order=1, mode="grid-wrap")
    return warped


def ramp(field: Field, low: float, high: float) -> Field:
    """Smoothstep from 0 at `low` to 1 at `high`."""
    t = np.clip((field - low) / (high - low), 0, 1)
    return np.asarray(t * t * (3 - 2 * t), np.float32)


def blend(a: npt.ArrayLike, b: npt.ArrayLike, share: Field) -> Field:
    """Colours a to b by a field; a and b are colours or pictures."""
    mixed = np.asarray(a, np.float32) * (1 - share[..., None]) + np.asarray(b, np.float32) * share[..., None]
    return mixed.astype(np.float32)
