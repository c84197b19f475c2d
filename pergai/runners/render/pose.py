"""How the product meets the set: standing, lying, hanging on the wall, floating above the ground."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from msgspec import structs

from pergai.engine.core import Pose
from pergai.runners.render.camera import View
from pergai.runners.render.card import Card
from pergai.runners.render.geometry import moved
from pergai.runners.render.spec import Backdrop, PhotoSet, Stand

LIFT: dict[Pose, float] = {"standing": 0.0, "lying": 0.0, "floating": 0.28, "hanging": 1.3}
"""Units between the ground and the product's lower edge."""
FLAT = 0.12
"""Units of depth of a product that hangs."""
CLEARANCE = 0.05
"""Units between the back of a hanging product and the wall: as a hook holds it."""


def lifted(camera: View, lift: float) -> View:
    """The camera moved up with the product, so that it sees it as it would on the ground."""
    x, y, z = camera.origin
    return replace(camera, origin=(x, y, z + lift))


def held(card: Card, pose: Pose) -> Card:
    """The product's body where the pose has it. One that hangs is flat: what a shop hangs up has little depth."""
    if pose == "hanging":
        card = _flattened(card)
    return replace(card, mesh=moved(card.mesh, (0, 0, LIFT[pose]))) if LIFT[pose] else card


def _flattened(card: Card) -> Card:
    """No deeper than FLAT, its back moved along the camera's rays, so that its outline stays."""
    foot = card.footprint
    share = min(1.0, FLAT / max(foot.depth, 1e-6))
    near, far = np.split(card.mesh.vertices, 2)  # as `card.build` lays them: the front, then the back on the same rays
    mesh = replace(card.mesh, vertices=np.concatenate([near, near + (far - near) * np.float32(share)]))
    return replace(card, mesh=mesh, footprint=foot._replace(back=foot.front + foot.depth * share))


def posed(photo_set: PhotoSet, pose: Pose, cards: Sequence[Card]) -> PhotoSet:
    """The set for a product in this pose: the lamps follow it upward; behind one that hangs, the wall comes near and what
    stood on the floor is left out."""
    lift = LIFT[pose]
    if lift == 0:
        return photo_set
    lights = tuple(
        structs.replace(light, target=(light.target[0], light.target[1], light.target[2] + lift))
        for light in photo_set.lights
    )
    photo_set = structs.replace(photo_set, lights=lights)
    if pose == "floating":
        return photo_set
    back = max((card.footprint.back for card in cards), default=0.2)
    wall = photo_set.backdrop if photo_set.backdrop.kind not in ("none", "sky") else Backdrop(colour="#e9e6e1")
    wall = structs.replace(wall, distance=back + CLEARANCE)
    return structs.replace(photo_set, backdrop=wall, stand=Stand(), props=())
