"""What lies beyond one side of a source: its layers and their light."""

from __future__ import annotations

from functools import partial

import numpy as np
import numpy.typing as npt

from pergai.imaging.extension.layers import divide
from pergai.imaging.extension.lines import Line
from pergai.imaging.extension.membrane import Light, Survey
from pergai.imaging.extension.plan import Side, turn, turn_back

Plane = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

ENOUGH = 0.2
"""Share of the background that must be left to copy from when an edge cuts off the rest."""


class Ground:
    """One side of a source. Arrays are turned: axis 0 along the border, axis 1 away from it, negative inside.

    Left and right reach over the source's own height, top and bottom over the whole width of the canvas.
    """

    def __init__(
        self, survey: Survey, background: npt.NDArray[np.bool_], lines: dict[Side, list[Line]], side: Side
    ) -> None:
        self._plan, self._side = survey.plan, side
        self.upright = side in {"left", "right"}
        self.rows = self._plan.rows if self.upright else slice(0, self._plan.canvas[0])
        """Rows of the canvas that it reaches over."""
        self.origin = 0 if self.upright else self._plan.offset[1]
        """Where along it the source begins."""
        pixels, seen = turn(survey.pixels, side), turn(background, side)
        self._size = (seen.shape[0], seen.shape[1])
        self.layers = divide(lines[side], len(seen))
        self.usable = seen & turn(_this_side(background, lines, side), side)
        seen = self.usable
        parts = [seen & part for part in self.layers.parts(*self._size)]
        self._lights: list[Light] = [survey.light(np.ascontiguousarray(turn_back(part, side))) for part in parts]
        light = self.inner_light(1)
        self.detail: Plane = (pixels - light) / survey.contrast(light)
        """The source less its light, (along, away, 3), as strong as under middling light."""

    def light(self, along: slice, start: int, stop: int, step: int = 1) -> Plane:
        """The light of every step × step pixels of a window, (along, away, 3), from `start` to `stop` away."""
        rows, columns = self._window(along, start, stop)
        sources = [partial(self._of, light, rows, columns, step) for light in self._lights]
        return self.layers.blend(sources, *self._places(along, start, stop, step))

    def inner_light(self, step: int) -> Plane:
        """The light inside the source for every step × step pixels."""
        return self.light(slice(self.origin, self.origin + self._size[0]), -self._size[1], 0, step)

    def home(self, along: slice, start: int, stop: int, step: int = 1) -> Plane:
        """Where along the source's border each place comes from when following the lines, in steps, (along, away)."""
        return self.layers.home(*self._places(along, start, stop, step)) / np.float32(step)

    def inner_home(self, step: int) -> Plane:
        """The same inside the source."""
        return self.home(slice(self.origin, self.origin + self._size[0]), -self._size[1], 0, step)

    def _of(self, light: Light, rows: slice, columns: slice, step: int) -> Plane:
        return turn(light.window(rows, columns, step), self._side)

    def _places(self, along: slice, start: int, stop: int, step: int) -> tuple[Plane, Plane]:
        """Middles of the pixels of a window: along the source, and away from it."""
        half = np.float32(step / 2)
        rows = np.arange(along.start, along.stop, step, dtype=np.float32) + half - self.origin
        return rows, np.arange(start, stop, step, dtype=np.float32) + half

    def _window(self, along: slice, start: int, stop: int) -> tuple[slice, slice]:
        """Rows and columns of the canvas."""
        plan = self._plan
        own = plan.columns if self.upright else plan.rows
        if self._side in {"right", "bottom"}:
            away = slice(own.stop + start, own.stop + stop)
        else:
            away = slice(own.start - stop, own.start - start)
        if self.upright:
            return slice(plan.rows.start + along.start, plan.rows.start + along.stop), away
        return away, along


def _this_side(background: Mask, lines: dict[Side, list[Line]], side: Side) -> Mask:
    """Where a source shows what may lie beyond a side: nothing from across an edge that runs clear of its border."""
    fit = np.ones(background.shape, dtype=bool)
    for other in set(lines) - {side}:
        along, away = turn(background, other).shape
        rows, inwards = np.arange(along)[:, None] + 0.5, np.arange(away)[None, ::-1] + 0.5
        for edge in divide(lines[other], along).edges:
            share = float(turn(above := turn_back(rows > edge.where(-inwards), other), side)[:, -1].mean())
            if edge.length < np.inf or 0.03 <= share <= 0.97:
                continue
            kept = fit & (above if share > 0.5 else ~above)
            if (kept & background).sum() > ENOUGH * background.sum():
                fit = kept
    return fit
