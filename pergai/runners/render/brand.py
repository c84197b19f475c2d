"""A set in a brand's colours: its paper, plaster and paint; what is stone, wood or metal stays what it is."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from pergai.runners.render.spec import PhotoSet

PAINTED = ("paper", "plaster", "lacquer", "acrylic")


def branded(photo_set: PhotoSet, colours: Sequence[str]) -> tuple[PhotoSet, tuple[str, ...]]:
    """The set with the first colour on its backdrop (with a sweep of paper: on the floor too) and the second on its stand,
    and which of the colours were used. Seamless white stays white."""
    if not colours or photo_set.look.seamless:
        return photo_set, ()
    floor, backdrop, stand = photo_set.floor, photo_set.backdrop, photo_set.stand
    first, second = colours[0], colours[min(1, len(colours) - 1)]
    used = []
    one_piece = backdrop.kind == "sweep" and not backdrop.colour and backdrop.material == "paper"
    if floor.material in PAINTED and one_piece:
        floor = replace(floor, colour=first, accent="")
        used.append(first)
    elif backdrop.material in PAINTED and backdrop.kind not in ("none", "sky"):
        backdrop = replace(backdrop, colour=first, accent="")
        used.append(first)
    if stand.kind != "none" and stand.material in PAINTED:
        stand = replace(stand, colour=second, accent="")
        used.append(second)
    return replace(photo_set, floor=floor, backdrop=backdrop, stand=stand), tuple(dict.fromkeys(used))
