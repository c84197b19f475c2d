"""Room for the product: what stands about it steps aside as far as it is wide, and what is strewn keeps clear of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from msgspec import structs

from pergai.runners.render import geometry as g
from pergai.runners.render.card import Footprint
from pergai.runners.render.geometry import Mesh
from pergai.runners.render.spec import Prop

ASIDE = 0.25
"""Units from the middle: a prop farther out stands beside the product, one nearer is meant to be behind or under it."""
GAP = 0.05
"""Units between a product and a prop beside it."""
BEHIND = 0.5
"""Units behind the product: an arch or a disc in the middle that is as far off is a background, a nearer one carries it."""
FARTHEST_BACK = 0.5
"""Units that a prop may move back rather than aside: there is a wall."""
TOGETHER = 0.2
"""Units: props that are as near as that to each other are one thing: a vase and its twig, blocks on each other."""


class Obstacle(NamedTuple):
    """What props keep away from, in units."""

    left: float
    right: float
    front: float
    back: float
    top: float


def stepped_aside(props: Sequence[Prop], meshes: Sequence[Mesh], taken: Sequence[Obstacle]) -> list[Mesh]:
    """The props, those at the product's side moved outward as far as it is wide there, or its stand, or back where that is
    nearer; those behind it moved back, if a little is enough: nothing stands in them, nor before the product, where its pixels
    would cover it. What stands together moves together; what is strewn keeps clear by itself (`strewn_round`)."""
    needs = [_need(prop, mesh, taken) for prop, mesh in zip(props, meshes, strict=True)]
    moved = []
    for prop, mesh in zip(props, meshes, strict=True):
        others = [need for other, need in zip(props, needs, strict=True) if math.dist(prop.at, other.at) < TOGETHER]
        aside, back = max(others, key=sum)
        step = (math.copysign(aside, prop.at[0]) if _beside(prop) else 0, back, 0)
        moved.append(g.moved(mesh, step))
    return moved


def obstacles(footprints: Sequence[Footprint], stands: Sequence[Mesh]) -> list[Obstacle]:
    """The products and all before them, and their stand."""
    taken = [Obstacle(foot.left, foot.right, -math.inf, foot.back, math.inf) for foot in footprints]
    for mesh in stands:
        low, high = mesh.vertices.min(axis=0).tolist(), mesh.vertices.max(axis=0).tolist()
        taken.append(Obstacle(low[0], high[0], low[1], high[1], high[2]))
    return taken


def crowded(props: Sequence[Prop], meshes: Sequence[Mesh], footprints: Sequence[Footprint]) -> bool:
    """Whether a prop reaches, where it is now, from beside or behind into one of the products, or stands before it. What lies
    under them carries them."""
    for prop, mesh in zip(props, meshes, strict=True):
        low, high = mesh.vertices.min(axis=0), mesh.vertices.max(axis=0)
        for foot in footprints:
            meets = low[0] < foot.right and high[0] > foot.left and low[1] < foot.back
            if meets and (_beside(prop) or (_behind(prop) and low[1] > foot.front)):
                return True
    return False


def _need(prop: Prop, mesh: Mesh, taken: Sequence[Obstacle]) -> tuple[float, float]:
    """How far a prop must move outward, or else back, to leave them their place."""
    low, high = mesh.vertices.min(axis=0), mesh.vertices.max(axis=0)
    in_the_way = [
        each for each in taken if low[1] < each.back + GAP and high[1] > each.front - GAP and low[2] < each.top - GAP
    ]
    if not in_the_way or not (_beside(prop) or _behind(prop)):
        return 0.0, 0.0
    if prop.at[0] > 0:
        aside = max(each.right for each in in_the_way) + GAP - float(low[0])
    else:
        aside = float(high[0]) - min(each.left for each in in_the_way) + GAP
    behind = max(each.back for each in in_the_way) + GAP - float(low[1])
    if _behind(prop):
        return 0.0, behind if behind < FARTHEST_BACK else 0.0
    return (0.0, behind) if behind < min(aside, FARTHEST_BACK) else (max(aside, 0.0), 0.0)


def _beside(prop: Prop) -> bool:
    return prop.count == 1 and abs(prop.at[0]) >= ASIDE


def _behind(prop: Prop) -> bool:
    return prop.count == 1 and abs(prop.at[0]) < ASIDE and prop.at[1] >= BEHIND


def strewn_round(prop: Prop, footprints: Sequence[Footprint]) -> Prop:
    """A prop that keeps a circle clear round the product: one as wide as the product. What would lie there lies round it."""
    reach = max((max(-foot.left, foot.right) + GAP for foot in footprints), default=0.0)
    if not 0 < prop.clear < reach:
        return prop
    outward = reach - prop.clear
    return structs.replace(prop, clear=reach, spread=(prop.spread[0] + outward, prop.spread[1] + outward))
