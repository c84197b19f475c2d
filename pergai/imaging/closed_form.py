"""Closed-form matting with a prior (Levin, Lischinski and Weiss, "A closed-form solution to natural image matting",
TPAMI 2008): alpha is locally a linear function of colour.

The matting Laplacian is assembled only for windows that touch an unknown pixel, as the 25 diagonals of its stencil,
so the cost follows the length of the product's edge and not the size of the picture.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from scipy.sparse import csr_matrix, diags
from scipy.sparse.linalg import cg

from pergai.imaging.picture import FloatPlane

_WINDOW = [(y, x) for y in (-1, 0, 1) for x in (-1, 0, 1)]
_STENCIL = [(y, x) for y in range(-2, 3) for x in range(-2, 3)]
_WINDOWS_AT_ONCE = 100_000


def solve_alpha(
    image: npt.NDArray[np.float32],
    unknown: npt.NDArray[np.bool_],
    estimate: FloatPlane,
    confidence: FloatPlane,
    *,
    epsilon: float = 1e-5,
) -> FloatPlane:
    """The alpha that follows the picture's edges inside `unknown` and equals `estimate` outside it.

    `image` is (height, width, 3) in 0-1 and at least 3 × 3. `confidence` (≥ 0) says how strongly each unknown pixel is
    held to its estimate: at 0 only the colours decide, at 10 and more hardly anything moves. `epsilon` is the colour
    variance below which a 3 × 3 window counts as one colour; larger is smoother.
    """
    if not unknown.any():
        return estimate
    height, width = unknown.shape
    pixels = np.flatnonzero(unknown)
    row_of = np.full(height * width, -1, dtype=np.int32)
    row_of[pixels] = np.arange(len(pixels), dtype=np.int32)
    diagonals = _stencil_diagonals(image, unknown, row_of, len(pixels), epsilon)

    offsets = np.array([y * width + x for y, x in _STENCIL])
    columns = np.clip(pixels[:, None] + offsets, 0, height * width - 1)
    column_rows = row_of[columns]
    used = diagonals != 0
    among_unknown = used & (column_rows >= 0)
    to_known = used & (column_rows < 0)
    prior = confidence.ravel()[pixels].astype(np.float64)
    start = estimate.ravel()[pixels].astype(np.float64)
    known_alpha = estimate.ravel()[columns]
    right = prior * start - np.where(to_known, diagonals * known_alpha, 0.0).sum(axis=1)

    ends = np.concatenate([[0], np.cumsum(among_unknown.sum(axis=1))])
    laplacian = csr_matrix((diagonals[among_unknown], column_rows[among_unknown], ends), shape=(len(pixels),) * 2)
    system = laplacian + diags(prior)
    jacobi = diags(1.0 / np.maximum(system.diagonal(), 1e-9))
    solution, _ = cg(system, right, x0=start, rtol=1e-3, maxiter=150, M=jacobi)

    alpha = estimate.copy()
    alpha.ravel()[pixels] = np.clip(solution, 0.0, 1.0)
    return alpha


def _stencil_diagonals(
    image: npt.NDArray[np.float32],
    unknown: npt.NDArray[np.bool_],
    row_of: npt.NDArray[np.int32],
    rows: int,
    epsilon: float,
) -> npt.NDArray[np.float64]:
    """(rows, 25): the matting Laplacian's entries of each unknown pixel against its 5 × 5 neighbourhood."""
    width = unknown.shape[1]
    touched = ndimage.binary_dilation(unknown, np.ones((3, 3), dtype=bool))
    touched[[0, -1], :] = False
    touched[:, [0, -1]] = False
    centres = np.flatnonzero(touched)
    around = np.array([y * width + x for y, x in _WINDOW])
    colours = image.reshape(-1, 3).astype(np.float64)
    diagonals = np.zeros((rows, len(_STENCIL)))
    for first in range(0, len(centres), _WINDOWS_AT_ONCE):
        members = centres[first : first + _WINDOWS_AT_ONCE, None] + around
        affinity = _affinities(colours[members], epsilon)
        for i, (yi, xi) in enumerate(_WINDOW):
            row = row_of[members[:, i]]
            wanted = row >= 0
            row = row[wanted]
            for j, (yj, xj) in enumerate(_WINDOW):
                # For one i and j every window writes to another pixel, so += is safe.
                diagonals[row, _STENCIL.index((yj - yi, xj - xi))] += affinity[wanted, i, j]
    return diagonals


def _affinities(colours: npt.NDArray[np.float64], epsilon: float) -> npt.NDArray[np.float64]:
    """(windows, 9, 9): the Laplacian of each 3 × 3 window, from its colours (windows, 9, 3)."""
    centred = colours - colours.mean(axis=1, keepdims=True)
    covariance = np.matmul(centred.transpose(0, 2, 1), centred) / 9.0 + np.eye(3) * (epsilon / 9.0)
    projected = np.matmul(centred, np.linalg.inv(covariance))
    laplacian: npt.NDArray[np.float64] = (np.matmul(projected, centred.transpose(0, 2, 1)) + 1.0) / -9.0
    laplacian[:, range(9), range(9)] += 1.0
    return laplacian
