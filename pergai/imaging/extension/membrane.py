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

from pergai.imaging.extension.grain import noise_level
from pergai.imaging.extension.plan import Plan, Side

Grid = npt.NDArray[np.float64]
Window = tuple[slice, slice]

CELLS = 72
"""Cells along the source's longer side."""
MAX_CELLS = 160_000
"""Cells of the whole canvas: bounds the sparse solve to about two seconds."""
SCALES = (1.0, 4.5, 7.0)
"""Widths of the smoother in cells: the relief of plain places, the light of plain and of textured places."""
NEIGHBOURHOOD = 15
"""Cells across which a place is judged to be plain or textured."""
TEXTURE = 1.2
"""Levels of 255. What the fine smoother leaves over, beyond grain, is texture when it typically exceeds this."""
BROAD_SPREAD, RELIEF_SPREAD = 0.3, 0.06
"""Strength of the bonds along the border beside the source, for the broad light and for the relief."""
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

    def window(self, rows: slice, columns: slice, step: int = 1) -> npt.NDArray[np.float32]:
        """The light on a window of the canvas, (height, width, 3), for every step × step pixels."""
        down = _cubic(rows, step, self.origin[0], self.cell, self.grid.shape[0])
        across = _cubic(columns, step, self.origin[1], self.cell, self.grid.shape[1])
        planes = [down @ self.grid[..., channel].astype(np.float32) @ across.T for channel in range(3)]
        return np.stack(planes, axis=-1)


def continue_light(pixels: npt.NDArray[np.float32], background: npt.NDArray[np.bool_], plan: Plan) -> Light:
    """The light of a canvas from the placed source (height, width, 3; 0-255) and the mask of its background."""
    area = plan.canvas[0] * plan.canvas[1]
    cell = max(2, round(max(plan.source) / CELLS), int(np.ceil(np.sqrt(area / MAX_CELLS))))
    lead = (-(-plan.offset[0] // cell), -(-plan.offset[1] // cell))
    origin = (plan.offset[0] - lead[0] * cell, plan.offset[1] - lead[1] * cell)
    shape = (-(-(plan.canvas[0] - origin[0]) // cell), -(-(plan.canvas[1] - origin[1]) // cell))

    broad, fine, trust = _smooth(pixels, background, cell)
    inside = (slice(lead[0], lead[0] + trust.shape[0]), slice(lead[1], lead[1] + trust.shape[1]))
    known = np.zeros(shape, dtype=bool)
    known[inside] = trust
    grid, relief = np.zeros((*shape, 3)), np.zeros((*shape, 3))
    grid[inside], relief[inside] = broad, fine
    if not known.any():
        grid[:] = np.median(pixels.reshape(-1, 3), axis=0)
    elif not known.all():
        lines = _lines(pixels, background, cell)
        laplacian = _laplacian(*_bonds(lines, BROAD_SPREAD, shape, inside))
        reach = max(4.0, 0.2 * min(trust.shape))
        low, high = grid[known].min(axis=0), grid[known].max(axis=0)
        slack = 0.2 * (high - low)
        _fill(grid, known, (laplacian @ laplacian + laplacian / (reach * reach)).tocsr())
        np.clip(grid, np.maximum(low - slack, 0.0), np.minimum(high + slack, 255.0), out=grid)
        _fill(relief, known, _laplacian(*_bonds(lines, RELIEF_SPREAD, shape, inside)))
        grid += relief
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
    sums = np.stack([total(pixels[..., channel] * share) for channel in range(pixels.shape[-1])], axis=-1)
    whole = np.diff([*rows, height])[:, None] * np.diff([*columns, width])[None, :]
    return sums / np.maximum(count, 1.0)[..., None], count / whole


def _smooth(
    pixels: npt.NDArray[np.float32], background: npt.NDArray[np.bool_], cell: int
) -> tuple[Grid, Grid, npt.NDArray[np.bool_]]:
    """The broad light; the relief to add to it where that explains the background but for its grain (nothing
    where there is texture, which is left to the texture); and where both may be trusted.

    A place is textured when most cells around it are: the edge of a shadow or a horizon concerns a few cells of a
    neighbourhood, gravel all of them.
    """
    values, weight = _cells(pixels, background, cell)
    fine, middle, coarse = (_local_linear(values, weight, scale) for scale in SCALES)
    for _ in range(3):  # Tukey's twicing: a shadow's curve comes through as well as its slope
        fine += _local_linear(values - fine, weight, SCALES[0])
    middle += _local_linear(values - middle, weight, SCALES[1])
    height, width = background.shape
    down, across = (
        _cubic(slice(0, size), 1, 0, cell, count) for size, count in zip((height, width), weight.shape, strict=True)
    )
    grey = fine.mean(axis=-1).astype(np.float32)
    rest = np.where(background, pixels.mean(axis=-1) - down @ grey @ across.T, np.float32(0))
    grain = noise_level(rest, background)
    rest = ndimage.uniform_filter(rest, 3, mode="nearest")
    power = _cells((rest * rest)[..., None], background, cell)[0][..., 0]
    texture = np.sqrt(np.maximum(power - (grain / 3.0) ** 2, 0.0))
    texture[weight < 0.5] = np.median(texture[weight >= 0.5]) if (weight >= 0.5).any() else 0.0
    typical = ndimage.percentile_filter(texture, 40, size=NEIGHBOURHOOD, mode="nearest")
    plain = 1.0 / (1.0 + (typical / TEXTURE) ** 4)
    plain = ndimage.gaussian_filter(plain, NEIGHBOURHOOD / 4, mode="nearest")[..., None]
    return plain * middle + (1.0 - plain) * coarse, plain * (fine - middle), weight > 0.25


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
    return out


def _lines(
    pixels: npt.NDArray[np.float32], background: npt.NDArray[np.bool_], cell: int
) -> dict[Side, npt.NDArray[np.float64]]:
    """What is left of the bonds along each side of the source where lines meet it."""

    def both(turned: npt.NDArray[np.float32], seen: npt.NDArray[np.bool_]) -> list[npt.NDArray[np.float64]]:
        depth = max(8, turned.shape[1] // 8)
        near, far = np.s_[:, :depth], np.s_[:, : -depth - 1 : -1]
        return [_line(turned[near], seen[near], cell), _line(turned[far], seen[far], cell)]

    left, right = both(pixels, background)
    top, bottom = both(pixels.swapaxes(0, 1), background.T)
    return {"left": left, "right": right, "top": top, "bottom": bottom}


def _bonds(
    lines: dict[Side, npt.NDArray[np.float64]], spread: float, shape: tuple[int, int], inside: Window
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """How strongly each cell holds to the one below it and to the one right of it, 0-1.

    Left and right of the source the bonds along the border are weaker than those away from it: what reaches the border
    goes on for a while before it spreads. They reach two cells into the source, whose curvature the spline
    continues.
    """
    down = np.ones((shape[0] - 1, shape[1]))
    across = np.ones((shape[0], shape[1] - 1))
    rows, columns = inside
    between = slice(rows.start, rows.stop - 1)
    down[between, : columns.start + 2] = spread * lines["left"][:, None]
    down[between, columns.stop - 2 :] = spread * lines["right"][:, None]
    between = slice(columns.start, columns.stop - 1)
    across[: rows.start + 2, between] = 0.5 * lines["top"]
    across[rows.stop - 2 :, between] = 0.5 * lines["bottom"]
    return down, across


def _line(band: npt.NDArray[np.float32], seen: npt.NDArray[np.bool_], cell: int) -> npt.NDArray[np.float64]:
    """Bonds between cells along axis 0 of a band beside the border.

    Weak where a sharp step lies at the same place in the near and in the far half of the band: a line that meets the
    border squarely. A soft shadow has no sharp step and fades instead.
    """
    half = band.shape[1] // 2
    width = max(2, band.shape[0] // 250)

    def steps(part: npt.NDArray[np.float32], mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
        both = (mask[2 * width :] & mask[: -2 * width])[..., None]
        step = (part[2 * width :] - part[: -2 * width]) * both
        count = np.maximum(both.sum(axis=1), 1)
        mean = step.sum(axis=1) / count
        spread = np.sqrt(np.maximum((step**2).sum(axis=1) / count - mean**2, 0.0))
        sure = (np.abs(mean) > spread) & (count > 0.5 * mask.shape[1])
        return np.pad(np.where(sure, mean, 0.0), ((width, width), (0, 0)))

    near, far = steps(band[:, :half], seen[:, :half]), steps(band[:, half:], seen[:, half:])
    agreed = np.where(near * far > 0, np.minimum(np.abs(near), np.abs(far)), 0.0).max(axis=-1)
    count = -(-len(agreed) // cell)
    reach = np.pad(agreed, (0, count * cell - len(agreed)))
    at = np.arange(1, count) * cell
    # The relief of a line reaches as far as the broad smoother blurs it; all of that goes straight on.
    strongest = ndimage.maximum_filter1d(reach, 1 + round(4 * SCALES[1]) * cell)[at]
    return np.asarray(np.maximum(1.0 / (1.0 + (strongest / LINE) ** 4), 1e-3))


def _laplacian(down: npt.NDArray[np.float64], across: npt.NDArray[np.float64]) -> sparse.csr_matrix:
    """The graph Laplacian of a grid with these bonds; free at its edges."""
    shape = (across.shape[0], down.shape[1])
    index = np.arange(shape[0] * shape[1]).reshape(shape)
    a = np.concatenate([index[:-1].ravel(), index[:, :-1].ravel()])
    b = np.concatenate([index[1:].ravel(), index[:, 1:].ravel()])
    w = np.concatenate([down.ravel(), across.ravel()])
    entries = np.concatenate([w, w, -w, -w]), (np.concatenate([a, b, a, b]), np.concatenate([a, b, b, a]))
    return sparse.coo_matrix(entries, shape=(index.size, index.size)).tocsr()


def _fill(grid: Grid, known: npt.NDArray[np.bool_], system: sparse.csr_matrix) -> None:
    """Solve system · u = 0 for the unknown cells, in place."""
    flat, fixed = grid.reshape(-1, 3), known.ravel()
    rows = system[~fixed]
    solve = linalg.splu(rows[:, ~fixed].tocsc(), permc_spec="MMD_AT_PLUS_A", options={"SymmetricMode": True})
    flat[~fixed] = solve.solve(-(rows[:, fixed] @ flat[fixed]))


def _cubic(span: slice, step: int, origin: int, cell: int, count: int) -> npt.NDArray[np.float32]:
    """Catmull-Rom interpolation from cell centres to every `step` pixels of a span as a matrix (pixels, cells)."""
    at = (np.arange(span.start, span.stop, step) + step / 2 - origin) / cell - 0.5
    base = np.floor(at).astype(int)
    t = at - base
    taps = (
        (-t + 2 * t**2 - t**3) / 2,
        (2 - 5 * t**2 + 3 * t**3) / 2,
        (t + 4 * t**2 - 3 * t**3) / 2,
        (-(t**2) + t**3) / 2,
    )
    matrix = np.zeros((len(at), count), dtype=np.float32)
    for number, tap in enumerate(taps):
        np.add.at(matrix, (np.arange(len(at)), np.clip(base + number - 1, 0, count - 1)), tap.astype(np.float32))
    return matrix
