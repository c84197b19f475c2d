"""The parts that straight lines divide the surroundings of a picture into, and the light of each.

Beyond one side of a source every strong line that crosses the border goes straight on. What lies between two of them
has a light of its own, seen only from what lies between them inside.

Arrays lie in one orientation: axis 0 runs along the border, axis 1 away from the source; `along` is in pixels from the
source's first row, `away` in pixels from its border, negative inside.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pergai.imaging.extension.lines import Line

Plane = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

EDGE = 16.0
"""Levels of 255: a line with a smaller difference between its sides is a streak and divides nothing."""
SOFTEST = 0.011
"""Width of an edge over the picture's length along the border; what is softer is a shadow's edge and fades."""
THINNEST = 0.02
"""Width of a part over the picture's length along the border."""
DIVIDERS = 4
"""Edges a side that divide it, at most."""


@dataclass(frozen=True, slots=True)
class Layers:
    """The lines of one side of a source, and those of them that are edges between two kinds of ground."""

    lines: Sequence[Line]
    edges: Sequence[Line]

    def home(self, along: npt.NDArray[np.floating], away: npt.NDArray[np.floating]) -> Plane:
        """Where along the border one comes from when following the lines, (along, away); lines do not cross."""
        grid = np.repeat(along[:, None], len(away), axis=1).astype(np.float32)
        if not self.lines:
            return grid
        feet = np.array([line.at for line in self.lines])
        for column, distance in enumerate(away):
            places = np.maximum.accumulate([line.at + line.slope * float(distance) for line in self.lines])
            home = np.interp(along, places, feet)
            home += np.minimum(along - places[0], 0.0) + np.maximum(along - places[-1], 0.0)
            grid[:, column] = home
        return grid

    def parts(self, along: int, away: int) -> list[Mask]:
        """Which pixels of the source (along, away) show each part, seen from its border; overlapping where no edge is
        seen to divide them."""
        rows, inwards = np.arange(along)[:, None] + 0.5, np.arange(away)[None, ::-1] + 0.5
        above = np.ones((along, away), dtype=bool)
        found: list[Mask] = []
        for edge in self.edges:
            place, beyond = edge.where(-inwards), inwards > edge.length
            found.append(above & (beyond | (rows < place - 0.7 * edge.width)))
            above = np.asarray(beyond | (rows > place + 0.7 * edge.width))
        return [*found, above]

    def blend(self, sources: Sequence[Callable[[], Plane]], along: Plane, away: Plane) -> Plane:
        """The picture (along, away, 3) whose parts are these."""
        picture = sources[0]()
        for edge, source in zip(self.edges, sources[1:], strict=True):
            ramp = (along[:, None] - edge.where(away)[None, :]) / np.float32(edge.width) + np.float32(0.5)
            share = np.clip(ramp, 0.0, 1.0).astype(np.float32)[..., None]
            picture += share * (source() - picture)
        return picture


def divide(lines: Sequence[Line], along: int) -> Layers:
    """The layers beyond a border of this length that these lines cross."""
    edges: list[Line] = []
    lines = [line for line in lines if line.width <= max(4.0, SOFTEST * along)]
    for line in sorted(lines, key=lambda line: -line.step):
        if line.step < EDGE or len(edges) == DIVIDERS:
            break
        if all(abs(line.at - other.at) > THINNEST * along for other in edges):
            edges.append(line)
    return Layers(lines=lines, edges=sorted(edges, key=lambda line: line.at))
