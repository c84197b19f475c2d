"""The light of the background: its low frequencies, and their continuation over the canvas.

Inside the source a local linear smoother (Cleveland, LOESS, 1979; no bias at the border, where a plain blur lags
behind a gradient) sees background pixels only. Outside, and under the product, the surface is a spline in
tension (Smith and Wessel, Geophysics 1990): value and slope go on at the border, then the slope dies away. In textured
places the smoother is robust, so that a shadow is told from the ground; it goes on at the border and fades.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage, sparse
from scipy.sparse import linalg

from pergai.imaging.extension.grain import noise_level
from pergai.imaging.extension.plan import Plan

Grid = npt.NDArray[np.float64]
Window = tuple[slice, slice]

CELLS = 72
"""Cells along the source's longer side."""
MAX_CELLS = 160_000
"""Cells of the whole canvas: bounds the sparse solve to about two seconds."""
SCALES = (1.0, 4.5, 10.0)
"""Widths of the smoother in cells: the relief of plain places, the light of plain and of textured places."""
NEIGHBOURHOOD = 15
"""Cells across which a place is judged to be plain or textured."""
TEXTURE = 1.2
"""Levels of 255. What the fine smoother leaves over, beyond grain, is texture when it typically exceeds this."""
BROAD = 3.0
"""Cells: what is narrower in a textured place is its texture and no shadow."""
DARK, MIDDLING = 16.0, 144.0
"""Levels of 255: a light in which texture still shows, and one in which detail is taken as it is."""
BROAD_SPREAD, RELIEF_SPREAD = 0.3, 0.06
"""Strength of the bonds along the border beside the source, for the broad light and for the relief."""


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


@dataclass(frozen=True, slots=True)
class Survey:
    """What the light of every part of a background needs to know of the whole."""

    pixels: npt.NDArray[np.float32]
    """(height, width, 3), 0-255: the placed source."""
    plan: Plan
    cell: int
    plain: Grid
    """(rows, columns, 1) of the source's cells: 1 in plain places, 0 in textured ones."""
    textured: float
    """The share of the background that is textured."""

    def contrast(self, light: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """How strong detail is under this light (…, 3) against middling light: texture is dimmed by a shadow as the
        ground is, the grain of a plain ground is not. (…, 1)."""
        level = (np.maximum(light.mean(axis=-1, keepdims=True), 0.0) + DARK) / np.float32(MIDDLING)
        return np.asarray(level**self.textured, dtype=np.float32)

    def tint(self, light: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """The light (…, 3) by which grounds are told apart: textured ones in shadow are the same as in the sun."""
        return np.asarray(light / self.contrast(light) ** np.float32(0.6))

    def light(self, part: npt.NDArray[np.bool_]) -> Light:
        """The light of the whole canvas, were all of its background like this part of the source (height, width)."""
        plan, cell = self.plan, self.cell
        lead = (-(-plan.offset[0] // cell), -(-plan.offset[1] // cell))
        origin = (plan.offset[0] - lead[0] * cell, plan.offset[1] - lead[1] * cell)
        shape = (-(-(plan.canvas[0] - origin[0]) // cell), -(-(plan.canvas[1] - origin[1]) // cell))

        broad, fine, dark, faith, trust = _smooth(self.pixels, part, cell, self.plain)
        inside = (slice(lead[0], lead[0] + trust.shape[0]), slice(lead[1], lead[1] + trust.shape[1]))
        known = np.zeros(shape, dtype=bool)
        known[inside] = trust
        grid, relief, shade, steady = (np.zeros((*shape, planes)) for planes in (3, 3, 3, 1))
        grid[inside], relief[inside], shade[inside], steady[inside] = broad, fine, dark, faith
        if not known.any():
            grid[:] = np.median(self.pixels[part] if part.any() else self.pixels.reshape(-1, 3), axis=0)
        elif not known.all():
            laplacian = _laplacian(*_bonds(BROAD_SPREAD, shape, inside))
            reach = max(4.0, 0.2 * min(trust.shape))
            low, high = grid[known].min(axis=0), grid[known].max(axis=0)
            slack = 0.2 * (high - low)
            level = np.concatenate([grid, steady], axis=-1)
            _fill(grid, known, (laplacian @ laplacian + laplacian / (reach * reach)).tocsr())
            _fill(level, known, laplacian)
            # The slope goes on as far as it was one: beside things of many colours it means nothing.
            grid = level[..., :3] + level[..., 3:] * (grid - level[..., :3])
            np.clip(grid, np.maximum(low - slack, 0.0), np.minimum(high + slack, 255.0), out=grid)
            _fill(relief, known, _laplacian(*_bonds(RELIEF_SPREAD, shape, inside)))
            _fill(shade, known, (laplacian + sparse.identity(known.size) / (reach * reach)).tocsr())
            grid += relief + shade
        return Light(grid=grid, cell=cell, origin=origin)


def survey(pixels: npt.NDArray[np.float32], background: npt.NDArray[np.bool_], plan: Plan) -> Survey:
    """Look over the placed source (height, width, 3; 0-255) and the mask of its background."""
    area = plan.canvas[0] * plan.canvas[1]
    cell = max(2, round(max(plan.source) / CELLS), int(np.ceil(np.sqrt(area / MAX_CELLS))))
    plain = _plain(pixels, background, cell)
    textured = (
        1.0 - float(plain[_cells(pixels[..., :1], background, cell)[1] > 0.5].mean()) if background.any() else 0.0
    )
    return Survey(pixels, plan, cell, plain, max(0.0, 2.0 * textured - 1.0))


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


def _plain(pixels: npt.NDArray[np.float32], background: npt.NDArray[np.bool_], cell: int) -> Grid:
    """How plain each place is, 0-1.

    A place is textured when most cells around it are: the edge of a shadow or a horizon concerns a few cells of a
    neighbourhood, gravel all of them.
    """
    values, weight = _cells(pixels, background, cell)
    grey = _fine(values, weight).mean(axis=-1).astype(np.float32)
    height, width = background.shape
    down, across = (
        _cubic(slice(0, size), 1, 0, cell, count) for size, count in zip((height, width), weight.shape, strict=True)
    )
    rest = np.where(background, pixels.mean(axis=-1) - down @ grey @ across.T, np.float32(0))
    grain = noise_level(rest, background)
    rest = ndimage.uniform_filter(rest, 3, mode="nearest")
    power = _cells((rest * rest)[..., None], background, cell)[0][..., 0]
    texture = np.sqrt(np.maximum(power - (grain / 3.0) ** 2, 0.0))
    texture[weight < 0.5] = np.median(texture[weight >= 0.5]) if (weight >= 0.5).any() else 0.0
    typical = ndimage.percentile_filter(texture, 40, size=NEIGHBOURHOOD, mode="nearest")
    plain = 1.0 / (1.0 + (typical / TEXTURE) ** 4)
    return np.asarray(ndimage.gaussian_filter(plain, NEIGHBOURHOOD / 4, mode="nearest")[..., None])


def _smooth(
    pixels: npt.NDArray[np.float32], part: npt.NDArray[np.bool_], cell: int, plain: Grid
) -> tuple[Grid, Grid, Grid, Grid, npt.NDArray[np.bool_]]:
    """The broad light; the relief of plain places, which explains the background but for its grain; the shade of
    textured ones, which stands out of their texture; how much of the broad light's neighbourhood its slope explains,
    0-1; and where all this may be trusted.
    """
    values, weight = _cells(pixels, part, cell)
    middle, faith = _local_linear(values, weight, SCALES[1])
    middle += _local_linear(values - middle, weight, SCALES[1])[0]
    coarse, trust = _local_linear(values, weight, SCALES[2])[0], weight > 0.25
    for _ in range(4):  # robust: what is in shadow does not count
        off = np.abs(values - coarse).max(axis=-1)
        usual = 6.0 * float(np.median(off[trust])) + 1.0 if trust.any() else 1.0
        coarse = _local_linear(values, weight * np.maximum(1.0 - (off / usual) ** 2, 0.001) ** 2, SCALES[2])[0]
    fine = _fine(values, weight)
    broad = plain * middle + (1.0 - plain) * coarse
    return broad, plain * (fine - middle), (1.0 - plain) * _shade(fine - coarse, trust), faith, trust


def _fine(values: Grid, weight: npt.NDArray[np.float64]) -> Grid:
    """The light to the nearest cell."""
    fine = _local_linear(values, weight, SCALES[0])[0]
    for _ in range(3):  # Tukey's twicing: a shadow's curve comes through as well as its slope
        fine += _local_linear(values - fine, weight, SCALES[0])[0]
    return fine


def _shade(relief: Grid, trust: npt.NDArray[np.bool_]) -> Grid:
    """What of the relief of a textured place is too strong and too broad to be its texture."""
    smooth = ndimage.gaussian_filter(relief * trust[..., None], (BROAD, BROAD, 0))
    smooth /= ndimage.gaussian_filter(trust.astype(float), BROAD)[..., None] + 1e-3
    usual = np.median(np.abs(smooth[trust]), axis=0) * 1.5 if trust.any() else np.zeros(3)
    return np.asarray(np.sign(smooth) * np.maximum(np.abs(smooth) - 1.7 * usual - 1.0, 0.0))


def _local_linear(values: Grid, weight: npt.NDArray[np.float64], scale: float) -> tuple[Grid, Grid]:
    """A plane fitted around every cell under a Gaussian of this width, read at the cell; and what share of the
    variation around the cell it explains, (rows, columns, 1)."""
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
    out, explained, varied = np.empty_like(values), np.full(weight.shape, 1e-3), np.full(weight.shape, 1e-3)
    for channel in range(values.shape[-1]):
        f = values[..., channel]
        mean = blur(weight * f) / mass
        cx = blur(weight * x * f) / mass - mx * mean
        cy = blur(weight * y * f) / mass - my * mean
        slope_x = (vyy * cx - vxy * cy) / determinant
        slope_y = (vxx * cy - vxy * cx) / determinant
        out[..., channel] = mean + slope_x * (x - mx) + slope_y * (y - my)
        explained += slope_x * cx + slope_y * cy
        varied += np.maximum(blur(weight * f * f) / mass - mean * mean, 0.0)
    return out, np.clip(explained / varied, 0.0, 1.0)[..., None]


def _bonds(
    spread: float, shape: tuple[int, int], inside: Window
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
    down[between, : columns.start + 2] = spread
    down[between, columns.stop - 2 :] = spread
    between = slice(columns.start, columns.stop - 1)
    across[: rows.start + 2, between] = 0.5
    across[rows.stop - 2 :, between] = 0.5
    return down, across


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
    flat, fixed = grid.reshape(-1, grid.shape[-1]), known.ravel()
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
