"""The part of a picture that stays free for a logo: the product goes beside it."""

from __future__ import annotations

from dataclasses import replace

from pergai.engine.core import Area
from pergai.imaging.placement import Spot

AIR = 0.02
"""Space between the product and the area, over the picture's sides."""


def beside(area: Area, spot: Spot, product: tuple[float, float], canvas: tuple[int, int]) -> Spot:
    """The spot itself where it leaves the area free, else the nearest that does, as large as the room beside it allows.

    `product`: width and height of its box, in whatever unit; `canvas`: of the picture in pixels.
    """
    if not _touches(area, spot, product, canvas):
        return spot
    rooms = (
        (0.0, 0.0, area.left, 1.0),
        (area.left + area.width, 0.0, 1.0, 1.0),
        (0.0, 0.0, 1.0, area.top),
        (0.0, area.top + area.height, 1.0, 1.0),
    )
    return max((_within(room, spot, product, canvas) for room in rooms), key=lambda found: found[0])[1]


def _extent(spot: Spot, product: tuple[float, float], canvas: tuple[int, int]) -> tuple[float, float]:
    """Width and height of the product on the canvas, over the canvas' sides."""
    scale = min(spot.height * canvas[1] / product[1], spot.width * canvas[0] / product[0])
    return product[0] * scale / canvas[0], product[1] * scale / canvas[1]


def _touches(area: Area, spot: Spot, product: tuple[float, float], canvas: tuple[int, int]) -> bool:
    width, height = _extent(spot, product, canvas)
    left = spot.x - width / 2
    top = spot.y - {"bottom": height, "center": height / 2, "top": 0.0}[spot.anchor]
    return (
        left < area.left + area.width + AIR
        and left + width > area.left - AIR
        and top < area.top + area.height + AIR
        and top + height > area.top - AIR
    )


def _within(
    room: tuple[float, float, float, float], spot: Spot, product: tuple[float, float], canvas: tuple[int, int]
) -> tuple[float, Spot]:
    """The spot moved, and shrunk where it must be, into a room (left, top, right, bottom); first its area left."""
    left, top, right, bottom = room[0] + AIR, room[1] + AIR, room[2] - AIR, room[3] - AIR
    if right - left < 0.05 or bottom - top < 0.05:
        return 0.0, spot
    width, height = _extent(spot, product, canvas)
    share = min(1.0, (right - left) / width, (bottom - top) / height)
    width, height = width * share, height * share
    above = {"bottom": height, "center": height / 2, "top": 0.0}[spot.anchor]
    x = min(max(spot.x, left + width / 2), right - width / 2)
    y = min(max(spot.y, top + above), bottom - height + above)
    moved = abs(x - spot.x) + abs(y - spot.y)
    return share - 0.2 * moved, replace(spot, height=spot.height * share, width=spot.width * share, x=x, y=y)
