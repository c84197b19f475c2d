"""Cut a picture into overlapping tiles of one size, and put processed tiles together again so that no seam shows.

A tile's rim lacks its surroundings, so it is processed wrongly there: `margin` pixels are thrown away. Behind them, two
neighbours cross-fade over `blend` pixels along a raised cosine. Tiles are written straight into the result, one row of
tiles at a time: the only other memory is one strip as high as a tile.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from pergai.imaging.picture import RGB

Plane = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Grid:
    """Where the tiles of a picture lie. All have one size, so that they can share a batch."""

    height: int
    width: int
    """Of each tile."""
    tops: tuple[int, ...]
    lefts: tuple[int, ...]
    blend: int

    @property
    def count(self) -> int:
        return len(self.tops) * len(self.lefts)

    def row(self, pixels: RGB, index: int) -> Iterator[RGB]:
        """The tiles of one row, from left to right, as views of the picture."""
        top = self.tops[index]
        for left in self.lefts:
            yield pixels[top : top + self.height, left : left + self.width]


def plan(height: int, width: int, side: int, *, margin: int, blend: int) -> Grid:
    """Tiles of at most `side` pixels a side that cover the picture, evenly spaced, each overlapping the next by at least
    `2 * margin + blend`. Raises ValueError when `side` leaves nothing between the overlaps."""
    overlap = 2 * margin + blend
    if side <= 2 * overlap:
        raise ValueError(f"tiles of {side} pixels are too small for overlaps of {overlap}")
    tile_height, tops = _cover(height, side, overlap)
    tile_width, lefts = _cover(width, side, overlap)
    return Grid(height=tile_height, width=tile_width, tops=tops, lefts=lefts, blend=blend)


def _cover(length: int, side: int, overlap: int) -> tuple[int, tuple[int, ...]]:
    if length <= side:
        return length, (0,)
    count = -(-(length - overlap) // (side - overlap))
    tile = -(-(length + (count - 1) * overlap) // count)
    starts = tuple(round(index * (length - tile) / (count - 1)) for index in range(count))
    return tile, starts


class Canvas:
    """The result of a grid's tiles, each enlarged by a whole `scale`."""

    def __init__(self, grid: Grid, scale: int) -> None:
        height, width = grid.tops[-1] + grid.height, grid.lefts[-1] + grid.width
        self.pixels: RGB = np.zeros((height * scale, width * scale, 3), dtype=np.uint8)
        self._grid, self._scale = grid, scale
        self._down = _fades(grid.tops, grid.height, grid.blend, scale)
        self._right = _fades(grid.lefts, grid.width, grid.blend, scale)

    def write(self, index: int, tiles: Sequence[RGB]) -> None:
        """Put down row `index`, from top to bottom. `tiles` as `Grid.row` gave them, processed."""
        strip = np.zeros((self._grid.height * self._scale, self.pixels.shape[1], 3), dtype=np.uint8)
        for tile, left, fade in zip(tiles, self._grid.lefts, self._right, strict=True):
            _lay(strip.swapaxes(0, 1), tile.swapaxes(0, 1), left * self._scale, fade)
        _lay(self.pixels, strip, self._grid.tops[index] * self._scale, self._down[index])


@dataclass(frozen=True, slots=True)
class _Fade:
    """How a tile begins: what lies there before it, the weight of the tile over the cross-fade, then the tile."""

    start: int
    weights: Plane


def _fades(starts: Sequence[int], length: int, blend: int, scale: int) -> list[_Fade]:
    weights = np.float32(0.5) - np.float32(0.5) * np.cos(
        np.pi * (np.arange(blend * scale, dtype=np.float32) + np.float32(0.5)) / np.float32(blend * scale)
    )
    fades = [_Fade(0, weights[:0])]
    for before, start in pairwise(starts):
        overlap = before + length - start
        fades.append(_Fade((overlap - blend) * scale // 2, weights))
    return fades


def _lay(canvas: npt.NDArray[np.uint8], piece: npt.NDArray[np.uint8], at: int, fade: _Fade) -> None:
    """Lay `piece` over `canvas` from row `at` on: nothing of its rim, a cross-fade, then all of it."""
    begin, end = fade.start, fade.start + len(fade.weights)
    if end > begin:
        below = canvas[at + begin : at + end].astype(np.float32)
        weights = fade.weights[:, None, None]
        canvas[at + begin : at + end] = np.rint(below + weights * (piece[begin:end] - below)).astype(np.uint8)
    canvas[at + end : at + len(piece)] = piece[end:]
