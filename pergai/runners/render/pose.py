"""How the product meets the set: standing, lying, hanging on the wall, floating above the ground."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from msgspec import structs

from pergai.engine.core import Pose
from pergai.runners.render.camera import View
from pergai.runners.render.card import Card
from pergai.runners.render.geometry import moved
from pergai.runners.render.spec import Backdrop, PhotoSet, Stand

LIFT: dict[Pose, float] = {"standing": 0.0, "lying": 0.0, "floating": 0.28, "hanging": 1.3}
"""Units between the ground and the product's lower edge."""
CLEARANCE = 0.05
"""Units between the back of a hanging product and the wall: as a hook holds it."""


def lifted(camera: View, lift: float) -> View:
    """The camera whose lens is shifted so that the point `lift` above the origin is seen where the origin was."""
    if lift == 0:
        return camera
    seen = float(camera.project([[0.0, 0.0, lift]])[0, 1])
    x, y = camera.centre
    return replace(camera, centre=(x, float(round(2 * y - seen))))


def lowered(camera: View, lift: float) -> View:
    """The same camera as it sees a ground that lies `lift` higher."""
    x, y, z = camera.origin
    return replace(camera, origin=(x, y, z - lift))


def raised(card: Card, lift: float) -> Card:
    return card if lift == 0 else replace(card, mesh=moved(card.mesh, (0, 0, lift)))


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
    back = max((card.footprint[2] for card in cards), default=0.2)
    wall = photo_set.backdrop if photo_set.backdrop.kind not in ("none", "sky") else Backdrop(colour="#e9e6e1")
    wall = structs.replace(wall, distance=back + CLEARANCE)
    return structs.replace(photo_set, backdrop=wall, stand=Stand(), props=())
