"""Several products as one group: who stands where, before anybody knows how large the picture is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

OVERLAP = 0.1
"""How much of the narrower one a neighbour in front may cover."""
FORWARD = 0.045
"""How much lower in the picture each next pair stands, over the mean product's size: nearer to the camera."""
GAP = 0.12
"""Between things that lie side by side, over the mean product's size."""
TALLEST = 1.35
"""No product is taller or wider than this, over the mean size: a pencil beside a plate stays a pencil."""


@dataclass(frozen=True, slots=True)
class Seat:
    """A product's place in its group, over the mean product's size."""

    scale: float
    """A pixel of the source."""
    x: float
    """Middle, from the middle of the group."""
    base: float
    """Lower edge, from the top of the group down."""


@dataclass(frozen=True, slots=True)
class Group:
    seats: tuple[Seat, ...]
    """In the products' own order."""
    order: tuple[int, ...]
    """Which is painted first: the farthest."""
    width: float
    height: float


def arrange(sizes: Sequence[tuple[int, int]], *, lying: bool) -> Group:
    """A group of products with these bounding boxes (width, height).

    Each is as large to the eye (the same area of its box), for photos do not tell how large things are. Standing: the
    tallest in the middle at the back, then to the right and left of it, each pair a little nearer and over the edge of its
    neighbour. Lying: rows with gaps, the tallest first.
    """
    scales = [min(1 / np.sqrt(w * h), TALLEST / max(w, h)) for w, h in sizes]
    boxes = [(w * s, h * s) for (w, h), s in zip(sizes, scales, strict=True)]
    ranks = sorted(range(len(boxes)), key=lambda i: (-boxes[i][1], i))
    spots = _rows(boxes, ranks) if lying else _stood(boxes, ranks)
    left = min(x - boxes[i][0] / 2 for i, (x, _) in spots.items())
    right = max(x + boxes[i][0] / 2 for i, (x, _) in spots.items())
    top = min(base - boxes[i][1] for i, (_, base) in spots.items())
    bottom = max(base for _, base in spots.values())
    middle = (left + right) / 2
    seats = tuple(Seat(scales[i], spots[i][0] - middle, spots[i][1] - top) for i in range(len(boxes)))
    return Group(seats, tuple(ranks), right - left, bottom - top)


def _stood(boxes: Sequence[tuple[float, float]], ranks: Sequence[int]) -> dict[int, tuple[float, float]]:
    first, *rest = ranks
    spots = {first: (0.0, 0.0)}
    edge = {1: boxes[first][0] / 2, -1: -boxes[first][0] / 2}
    neighbour = {1: first, -1: first}
    for number, i in enumerate(rest):
        side = 1 if number % 2 == 0 else -1
        width = boxes[i][0]
        over = OVERLAP * min(width, boxes[neighbour[side]][0])
        spots[i] = (edge[side] + side * (width / 2 - over), FORWARD * (1 + number // 2))
        edge[side] += side * (width - over)
        neighbour[side] = i
    return spots


def _rows(boxes: Sequence[tuple[float, float]], ranks: Sequence[int]) -> dict[int, tuple[float, float]]:
    columns = 3 if len(ranks) in (3, 5, 6) or len(ranks) > 8 else (2 if len(ranks) <= 4 else 4)
    spots: dict[int, tuple[float, float]] = {}
    top = 0.0
    for start in range(0, len(ranks), columns):
        row = ranks[start : start + columns]
        tall = max(boxes[i][1] for i in row)
        x = -(sum(boxes[i][0] for i in row) + GAP * (len(row) - 1)) / 2
        for i in row:
            width, height = boxes[i]
            spots[i] = (x + width / 2, top + (tall + height) / 2)
            x += width + GAP
        top += tall + GAP
    return spots
