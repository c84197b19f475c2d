"""The light of the background: its low frequencies, and their continuation over the canvas.

Inside the source a local linear smoother (Cleveland, LOESS, 1979; no bias at the border, where a plain blur lags
behind a gradient) sees background pixels only. Outside, and under the product, the surface is a spline in
tension (Smith and Wessel, Geophysics 1990): value and slope go on at the border, then the slope dies away. Where a
straight line such as a table's edge runs into the border, the bonds of the surface across it are cut, so that
the step goes straight on instead of melting.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage, sparse
from scipy.sparse import linalg

from pergai.imaging.extension.plan import Plan

Grid = npt.NDArray[np.float64]
Window = tuple[slice, slice]

CELLS = 64
"""Cells along the source's longer side."""
MAX_CELLS = 160_000
"""Cells of the whole canvas: bounds the sparse solve to about two seconds."""
SCALES = (1.5, 3.0, 6.0, 12.0)
"""Widths of the smoother in cells, fine to coarse."""
NEIGHBOURHOOD = 15
"""Cells across which a place is judged to be plain or textured."""
TEXTURE = 1.2
"""Levels of 255. A band whose typical deflection exceeds this is texture, not light."""
LINE = 12.0
"""Levels of 255. A step sharper than this, met squarely by the border, goes on as a straight line."""


@dataclass(frozen=True, slots=True)
class Light:
    """The low frequencies of a whole canvas, on a coarse grid."""

    grid: Grid
    """(rows, columns, 3), 0-255."""
    cell: int
    """Pixels a cell."""
    origin: tuple[int, int]
    """(top, left) of the grid on the canvas; not positive."""

    def window(self, rows: slice, columns: slice) -> npt.NDArray[np.float32]:
        """The light on a window of the canvas, (height, width, 3)."""
        down = _cubic(rows, self.origin[0], self.cell, self.grid.shape[0])
        across = _cubic(columns, self.origin[1], self.cell, self.grid.shape[1])
        planes = [down @ self.grid[..., channel].astype(np.float32) @ across.T for channel in range(3)]
        return np.stack(planes, axis=-1)


def continue_light(pixels: npt.NDArray[np.float32], background: npt.NDArray[np.bool_], plan: Plan) -> Light:
    """The light of a canvas from the placed source (height, width, 3; 0-255) and the mask of its background."""
    area = plan.canvas[0] * plan.canvas[1]
    cell = max(2, round(max(plan.source) / CELLS), int(np.ceil(np.sqrt(area / MAX_CELLS))))
    lead = (-(-plan.offset[0] // cell), -(-plan.offset[1] // cell))
    origin = (plan.offset[0] - lead[0] * cell, plan.offset[1] - lead[1] * cell)
    shape = (-(-(plan.canvas[0] - origin[0]) // cell), -(-(plan.canvas[1] - origin[1]) // cell))

    values, weight = _cells(pixels, background, cell)
    smooth, trust = _smooth(values, weight)
    inside = (slice(lead[0], lead[0] + smooth.shape[0]), slice(lead[1], lead[1] + smooth.shape[1]))
    grid = np.zeros((*shape, 3))
    known = np.zeros(shape, dtype=bool)
    grid[inside] = smooth
    known[inside] = trust
    if not known.any():
        grid[:] = np.median(pixels.reshape(-1, 3), axis=0)
    elif not known.all():
        reach = max(4.0, 0.25 * min(smooth.shape[:2]))
        grid = _tension_spline(grid, known, _bonds(pixels, background, cell, shape, inside), reach)
        low, high = grid[known].min(axis=0), grid[known].max(axis=0)
        slack = 0.35 * (high - low)
        grid = np.clip(grid, np.maximum(low - slack, 0.0), np.minimum(high + slack, 255.0))
    return Light(grid=grid, cell=cell, origin=origin)


def _cells(
    pixels: npt.NDArray[np.float32], background: npt.NDArray[np.bool_], cell: int
) -> tuple[Grid, npt.NDArray[np.float64]]:
    """Mean background colour and share of background of every cell."""
    height, width = background.shape
    rows, columns = np.arange(0, height, cell), np.arange(0, width, cell)
    share = background.astype(np.float32)

    def total(plane: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        return np.add.reduceat(np.add.reduceat(plane, rows, axis=0, dtype=np.float64), columns, axis=1)

    count = total(share)
    sums = np.stack([total(pixels[..., channel] * share) for channel in range(3)], axis=-1)
    return sums / np.maximum(count, 1.0)[..., None], count / (cell * cell)


def _smooth(values: Grid, weight: npt.NDArray[np.float64]) -> tuple[Grid, npt.NDArray[np.bool_]]:
    """Everywhere the finest scale that leaves texture to the texture; and where the result may be trusted.

    A band between two scales is texture where its local median is high: a shadow's edge or a horizon deflects a few
    cells of the neighbourhood, gravel all of them.
    """
    levels = [_local_linear(values, weight, scale) for scale in SCALES]
    solid = weight > 0.5
    out = levels[-1]
    for fine, coarse in zip(levels[-2::-1], levels[:0:-1], strict=True):
        band = np.abs(fine - coarse).mean(axis=-1)
        typical = ndimage.median_filter(np.where(solid, band, 0.0), size=NEIGHBOURHOOD, mode="nearest")
        plain = 1.0 / (1.0 + (typical / TEXTURE) ** 4)
        plain = ndimage.gaussian_filter(plain, NEIGHBOURHOOD / 4, mode="nearest")[..., None]
        out = plain * fine + (1.0 - plain) * out
    return out, weight > 0.25


def _local_linear(values: Grid, weight: npt.NDArray[np.float64], scale: float) -> Grid:
    """A plane fitted around every cell under a Gaussian of this width, read at the cell."""
    rows, columns = weight.shape
    y, x = np.mgrid[0:rows, 0:columns].astype(np.float64)
    x -= columns / 2
    y -= rows / 2

    def blur(plane: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return np.asarray(ndimage.gaussian_filter(plane, scale, mode="constant", truncate=3.0))

    mass = blur(weight) + 1e-9
    mx, my = blur(weight * x) / mass, blur(weight * y) / mass
    ridge = 0.05 * scale * scale
    vxx = blur(weight * x * x) / mass - mx * mx + ridge
    vyy = blur(weight * y * y) / mass - my * my + ridge
    vxy = blur(weight * x * y) / mass - mx * my
    determinant = vxx * vyy - vxy * vxy
    out = np.empty_like(values)
    for channel in range(values.shape[-1]):
        f = values[..., channel]
        mean = blur(weight * f) / mass
        cx = blur(weight * x * f) / mass - mx * mean
        cy = blur(weight * y * f) / mass - my * mean
        slope_x = (vyy * cx - vxy * cy) / determinant
        slope_y = (vxx * cy - vxy * cx) / determinant
        out[..., channel] = mean + slope_x * (x - mx) + slope_y * (y - my)
    return np.clip(out, 0.0, 255.0)


def _bonds(
    pixels: npt.NDArray[np.float32], background: npt.NDArray[np.bool_], cell: int, shape: tuple[int, int], inside: Window
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """How strongly each cell holds to the one below it and to the one right of it, 0-1."""
    down = np.ones((shape[0] - 1, shape[1]))
    across = np.ones((shape[0], shape[1] - 1))
    rows, columns = inside
    depth = max(8, pixels.shape[1] // 8)
    down[rows.start : rows.stop - 1, : columns.start] = _line(pixels[:, :depth], background[:, :depth], cell)[:, None]
    down[rows.start : rows.stop - 1, columns.stop :] = _line(
        pixels[:, : -depth - 1 : -1], background[:, : -depth - 1 : -1], cell
    )[:, None]
    depth = max(8, pixels.shape[0] // 8)
    turned, seen = pixels.swapaxes(0, 1), background.T
    across[: rows.start, columns.start : columns.stop - 1] = _line(turned[:, :depth], seen[:, :depth], cell)
    across[rows.stop :, columns.start : columns.stop - 1] = _line(
        turned[:, : -depth - 1 : -1], seen[:, : -depth - 1 : -1], cell
    )
    return down, across


def _line(band: npt.NDArray[np.float32], seen: npt.NDArray[np.bool_], cell: int) -> npt.NDArray[np.float64]:
    """Bonds between cells along axis 0 of a band beside the border.

    Weak where a sharp step lies at the same place in the near and in the far half of the band: a line that meets the
    border squarely. A soft shadow has no sharp step and fades instead.
    """
    half = band.shape[1] // 2
    width = max(2, band.shape[0] // 250)

    def steps(part: npt.NDArray[np.float32], mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
        count = mask.sum(axis=1)
        mean = (part * mask[..., None]).sum(axis=1) / np.maximum(count, 1)[:, None]
        known = count > 0.6 * mask.shape[1]
        out = np.zeros_like(mean, dtype=np.float64)
        both = known[2 * width :] & known[: -2 * width]
        out[width:-width] = (mean[2 * width :] - mean[: -2 * width]) * both[:, None]
        return out

    near, far = steps(band[:, :half], seen[:, :half]), steps(band[:, half:], seen[:, half:])
    agreed = np.where(near * far > 0, np.minimum(np.abs(near), np.abs(far)), 0.0).max(axis=-1)
    count = -(-len(agreed) // cell)
    reach = np.pad(agreed, (0, count * cell - len(agreed)))
    at = np.arange(1, count) * cell
    strongest = ndimage.maximum_filter1d(reach, cell + 1)[at]
    return np.asarray(np.maximum(1.0 / (1.0 + (strongest / LINE) ** 4), 1e-3))


def _tension_spline(
    grid: Grid,
    known: npt.NDArray[np.bool_],
    bonds: tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]],
    reach: float,
) -> Grid:
    """Solve (L² + L/reach²) u = 0 for the unknown cells; slopes live for about `reach` cells."""
    index = np.arange(known.size).reshape(known.shape)
    pairs = [
        (index[:-1].ravel(), index[1:].ravel(), bonds[0].ravel()),
        (index[:, :-1].ravel(), index[:, 1:].ravel(), bonds[1].ravel()),
    ]
    a, b, w = (np.concatenate(part) for part in zip(*pairs, strict=True))
    laplacian = sparse.coo_matrix(
        (np.concatenate([w, w, -w, -w]), (np.concatenate([a, b, a, b]), np.concatenate([a, b, b, a]))),
        shape=(known.size, known.size),
    ).tocsr()
    system = (laplacian @ laplacian + laplacian / (reach * reach)).tocsr()
    fixed = known.ravel()
    free = ~fixed
    flat = grid.reshape(-1, 3)
    rows = system[free]
    solve = linalg.splu(rows[:, free].tocsc(), permc_spec="MMD_AT_PLUS_A", options={"SymmetricMode": True})
    out = flat.copy()
    out[free] = solve.solve(-(rows[:, fixed] @ flat[fixed]))
    return out.reshape(grid.shape)


def _cubic(span: slice, origin: int, cell: int, count: int) -> npt.NDArray[np.float32]:
    """Catmull-Rom interpolation from cell centres to pixels as a matrix (pixels, cells)."""
    at = (np.arange(span.start, span.stop) + 0.5 - origin) / cell - 0.5
    base = np.floor(at).astype(int)
    t = at - base
    taps = (
        (-t + 2 * t**2 - t**3) / 2,
        (2 - 5 * t**2 + 3 * t**3) / 2,
        (t + 4 * t**2 - 3 * t**3) / 2,
        (-(t**2) + t**3) / 2,
    )
    matrix = np.zeros((len(at), count), dtype=np.float32)
    for step, tap in enumerate(taps):
        np.add.at(matrix, (np.arange(len(at)), np.clip(base + step - 1, 0, count - 1)), tap.astype(np.float32))
    return matrix
