"""The last stage of a picture above the model's own size: what was painted small and enlarged is painted over, gently, in
overlapping tiles of the model's own size, all of them at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import product

import numpy as np

from pergai.engine.core import Desk
from pergai.imaging.picture import RGB, Alpha
from pergai.imaging.tiles import Canvas, plan
from pergai.runners.diffusion.canvas import paint_size
from pergai.runners.diffusion.options import Options
from pergai.runners.diffusion.paint import paint_all
from pergai.runners.diffusion.request import Request

MARGIN, BLEND = 16, 8
"""Of a tile's side one part in so many is thrown away along each edge that has a neighbour, or fades over into it."""


class Mosaic:
    """A picture in tiles of exactly `side` squared; beyond its lower and right edge they see it mirrored.

    `mask`: (height, width), 255 is to be painted.
    """

    def __init__(self, picture: RGB, mask: Alpha, side: int) -> None:
        margin, blend = side // MARGIN, side // BLEND
        step = side - 2 * margin - blend
        rim = [(0, side + max(0, -(-(length - side) // step)) * step - length) for length in mask.shape]
        self._size = mask.shape
        self._picture, self._mask = np.pad(picture, (*rim, (0, 0)), mode="symmetric"), np.pad(mask, rim)
        height, width = self._mask.shape
        self._grid = plan(height, width, side, margin=margin, blend=blend)
        corners = product(self._grid.tops, self._grid.lefts)
        windows = {(top, left): np.s_[top : top + side, left : left + side] for top, left in corners}
        self._wanted = {corner: window for corner, window in windows.items() if self._mask[window].any()}

    @property
    def tiles(self) -> list[tuple[RGB, Alpha]]:
        """Those with anything to paint in them, and what of each."""
        return [
            (np.ascontiguousarray(self._picture[window]), np.ascontiguousarray(self._mask[window]))
            for window in self._wanted.values()
        ]

    def together(self, painted: Sequence[RGB]) -> RGB:
        """The picture with its `tiles` as they were painted, each fading over into the next."""
        new = dict(zip(self._wanted, painted, strict=True))
        canvas = Canvas(self._grid, 1)
        for index, top in enumerate(self._grid.tops):
            old = zip(self._grid.lefts, self._grid.row(self._picture, index), strict=True)
            canvas.write(index, [new.get((top, left), tile) for left, tile in old])
        return canvas.pixels[: self._size[0], : self._size[1]]


async def refine(
    desk: Desk, options: Options, request: Request, picture: RGB, mask: Alpha, span: tuple[float, float]
) -> tuple[RGB, dict[str, float]]:
    """`picture` painted over where `mask` says so, and what the record says of it. `request`: what its small version was
    painted by; every tile has a seed of its own. The job's progress goes over `span`."""
    side = paint_size(1, 1, options.side)[0]
    mosaic = await desk.cpu(Mosaic, picture, mask, side)
    requests = [
        replace(
            request,
            image=tile,
            mask=wanted,
            strength=options.refine,
            seed=(request.seed + index) % 2**63,
            state=None,
        )
        for index, (tile, wanted) in enumerate(await desk.cpu(lambda: mosaic.tiles), start=1)
    ]
    painted = await paint_all(desk, requests, *span)
    refined = await desk.cpu(mosaic.together, [one.pixels for one in painted])
    return refined, {"strength": options.refine, "tiles": len(requests), "side": side}
