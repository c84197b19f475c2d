"""Variants of one request: the same product on the same set, seen and lit a little otherwise, on purpose."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from msgspec.structs import replace

from pergai.runners.render.camera import DecidedView
from pergai.runners.render.spec import PhotoSet

HEADINGS = (0.0, 8.0, -8.0, 13.0, -13.0, 5.0, -5.0, 17.0)
PITCHES = (0.0, 1.5, 3.0, -1.0, 2.5, 4.0, -1.5, 1.0)
LIMITS: dict[DecidedView, tuple[float, float]] = {
    "front": (1.0, 14.0),
    "three-quarter": (18.0, 60.0),
    "top": (89.9, 89.9),
}
"""Pitch of the camera: beyond, it would be another view, and the photo would not fit it."""


@dataclass(frozen=True, slots=True)
class Variation:
    """What one variant changes. Things that are strewn differ by the seed besides."""

    heading: float = 0.0
    """Degrees the camera walks round the set."""
    pitch: float = 0.0
    """Degrees it looks down more."""
    lights: bool = False
    """Lit from the other side."""
    props: bool = False
    """The layout of the props mirrored."""

    def record(self) -> dict[str, Any]:
        return asdict(self)


def variation(variant: int) -> Variation:
    """Of the variant with this number; 0 changes nothing. No two of the first eight are alike."""
    k = variant % len(HEADINGS)
    return Variation(HEADINGS[k], PITCHES[k], k % 2 == 1, k % 4 in (2, 3))


def pitched(pitch: float, view: DecidedView, by: Variation) -> float:
    """The camera's pitch with the variation's, within the view."""
    low, high = LIMITS[view]
    return pitch if by.pitch == 0 else min(max(pitch + by.pitch, min(low, pitch)), max(high, pitch))


def varied(photo_set: PhotoSet, by: Variation) -> PhotoSet:
    """The set with its lights, its props or both mirrored."""
    if by.lights:
        lights = tuple(
            replace(light, azimuth=-light.azimuth, target=(-light.target[0], *light.target[1:]))
            for light in photo_set.lights
        )
        photo_set = replace(photo_set, lights=lights)
    if by.props:
        props = tuple(replace(prop, at=(-prop.at[0], prop.at[1]), heading=-prop.heading) for prop in photo_set.props)
        photo_set = replace(photo_set, props=props)
    return photo_set
