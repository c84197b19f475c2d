"""The lie of the ground: heights over the plane of rippled sand, dunes, drifted snow, laid cloth and ringed water."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from pergai.runners.render.geometry import Array

Random = np.random.Generator
Height = Callable[[Array, Array], Array]
"""Heights in units at the points (x, y), each a float32 array of the same shape."""


def level(x: Array, y: Array) -> Array:  # noqa: ARG001 - the signature of all heights
    """Even ground."""
    return np.zeros_like(x)


def _ripples(random: Random, relief: float) -> Height:
    """Wind ripples in sand: asymmetric waves with forks, over gentle hummocks."""
    hummocks = waves(random, 6, 0.5, 1.4)
    bend, forks = waves(random, 8, 0.2, 0.6), waves(random, 8, 1.0, 2.0)

    def height(x: Array, y: Array) -> Array:
        phase = 2 * np.pi * (5.2 * y + 1.1 * x) + 2.6 * bend(x, y) + 0.6 * forks(x, y)
        crest = (0.5 + 0.5 * np.sin(phase + 0.55 * np.sin(phase))) ** 1.3
        return np.asarray(
            relief * (0.022 * crest * (0.75 + 0.35 * hummocks(x, y)) + 0.035 * hummocks(y, x)), np.float32
        )

    return height


def _dunes(random: Random, relief: float) -> Height:
    """A sea of sand: rippled ground that rises behind the product to rows of dunes, the farther the higher, each dune with a
    long back on the left, a sharp winding crest and a slope on the right as steep as sand lies."""
    swell, patches = waves(random, 6, 0.12, 0.4), waves(random, 6, 0.25, 0.7)
    bend, forks = waves(random, 8, 0.25, 0.8), waves(random, 8, 1.0, 2.4)
    rows = 3.6 * 1.5 ** np.arange(7)
    crests, sizes = ([waves(random, 5, low, 3 * low) for _ in rows] for low in (0.07, 0.05))
    slants, shifts = random.uniform(0.8, 1.4, len(rows)), random.uniform(0, 1, len(rows))

    def height(x: Array, y: Array) -> Array:
        phase = 2 * np.pi * (4.4 * y + 2.8 * x) + 2.2 * bend(x, y) + 0.7 * forks(x, y)
        ripple = (0.5 + 0.5 * np.sin(phase + 0.6 * np.sin(phase))) ** 1.2
        near = np.clip((7 - y) / 4, 0, 1)
        ground = near * 0.018 * ripple * np.clip(0.85 + 0.4 * patches(x, y), 0, 1.3) + 0.03 * swell(x, y)
        dune = np.zeros_like(x)
        for row, crest, size, slant, shift in zip(rows, crests, sizes, slants, shifts, strict=True):
            high = 0.07 * (row + 1)
            aside, far = x / high, (y - row) / high
            across = (aside + shift * _APART + slant * far + 0.5 * crest(0.3 * aside, far)) % _APART
            profile = np.minimum(_eased(across / (_APART - 1.5)), (_APART - across) / 1.5)
            presence = _eased(1 + far / 1.2) * _eased((6 - far) / 4) * (0.8 + 0.25 * size(aside, far))
            dune = np.maximum(dune, high * profile * presence)
        return np.asarray(relief * (ground + dune), np.float32)

    return height


_APART = 4.4
"""Dunes of a row, over their height."""


def _eased(t: Array) -> Array:
    """From 0 below 0 to 1 above 1, smoothly."""
    clipped = np.clip(t, 0, 1)
    return np.asarray(clipped * clipped * (3 - 2 * clipped), np.float32)


def _drifts(random: Random, relief: float) -> Height:
    low, fine = waves(random, 8, 0.3, 0.9), waves(random, 14, 1.5, 5.0)

    def height(x: Array, y: Array) -> Array:
        away = np.clip((y - 0.2) / 3, 0, 1.5)
        return (relief * (0.07 * low(x, y) + 0.12 * away + 0.008 * fine(x, y))).astype(np.float32)

    return height


def _cloth(random: Random, relief: float) -> Height:
    """Cloth laid down loosely: long folds, most of them the way it was pulled, steeper on one side, each dying away along its
    length; between them it is a little slack."""
    lie = random.choice([-1, 1]) * random.uniform(0.5, 0.8)
    angles = lie + random.normal(0, [0.16] * 5 + [0.7] * 4)
    widths = np.concatenate([random.uniform(0.11, 0.24, 5), random.uniform(0.08, 0.12, 4)])
    bends, fades = ([waves(random, 4, low, 3 * low) for _ in angles] for low in (0.06, 0.15))
    shifts, pitches = random.uniform(-2, 2, 9), random.uniform(0.3, 0.7, 9)
    slack = waves(random, 9, 0.7, 2.2)

    def height(x: Array, y: Array) -> Array:
        total = 0.12 * slack(x, y)
        for angle, width, bend, fade, shift, pitch in zip(angles, widths, bends, fades, shifts, pitches, strict=True):
            across = x * np.cos(angle) + y * np.sin(angle) + 0.22 * bend(x, y) + shift
            ridge = ((across * pitch + 0.5) % 1.0 - 0.5) / pitch
            slope = np.where(ridge > 0, 0.45, 0.8) * width
            presence = np.clip(0.35 + 0.8 * fade(x, y), 0, 1.5)
            total = total + (width / 0.2) * presence / np.cosh(ridge / slope) ** 2
        return (relief * 0.055 * total).astype(np.float32)

    return height


def _gathers(random: Random, relief: float) -> Height:
    """Thin cloth pushed together: round folds side by side that wind, come near each other and part again, with smaller ones
    between them, nowhere a straight one."""
    lie = random.choice([-1, 1]) * random.uniform(0.4, 0.65)
    bend, wander = waves(random, 4, 0.1, 0.32), waves(random, 5, 0.3, 0.8)
    high, low = waves(random, 6, 0.25, 0.7), waves(random, 6, 0.4, 1.0)
    start, apart = random.uniform(0, 6, 2)

    def height(x: Array, y: Array) -> Array:
        across = x * np.cos(lie) + y * np.sin(lie) + 0.26 * bend(x, y) + 0.05 * wander(x, y)
        phase = 2 * np.pi * 1.8 * across + 1.2 * np.sin(2 * np.pi * 0.7 * across + apart) + start
        fold = (0.5 + 0.5 * np.cos(phase)) ** 1.5 * np.clip(0.7 + 0.4 * high(x, y), 0.2, 1.3)
        between = (0.5 + 0.5 * np.cos(2.4 * phase + 1.5 * wander(y, x))) ** 2 * np.clip(0.12 + 0.16 * low(x, y), 0, 0.4)
        return np.asarray(relief * 0.06 * (fold + between), np.float32)

    return height


def _rings(random: Random, relief: float) -> Height:
    """Rings on still water round what stands in it: short and steep near it, longer and lower outward, over a hardly moving
    surface."""
    swell = waves(random, 10, 0.2, 0.7)

    def height(x: Array, y: Array) -> Array:
        r = np.hypot(x, y) * (1 + 0.01 * swell(x, y))
        ring = np.sin(2 * np.pi * 4.6 * r**0.8) * np.exp(-r / 1.3)
        return np.asarray(relief * (0.01 * ring + 0.002 * swell(x, y)), np.float32)

    return height


def waves(random: Random, count: int, low: float, high: float) -> Height:
    """A smooth random function of the plane: a sum of sines of frequencies low to high; deviation about 1."""
    angle, frequency = random.uniform(0, 2 * np.pi, count), random.uniform(low, high, count)
    phase = random.uniform(0, 2 * np.pi, count)
    kx, ky = 2 * np.pi * frequency * np.cos(angle), 2 * np.pi * frequency * np.sin(angle)

    def value(x: Array, y: Array) -> Array:
        total = sum(np.sin(x * a + y * b + c) for a, b, c in zip(kx, ky, phase, strict=True))
        return np.asarray(total * np.sqrt(2 / count), np.float32)

    return value


RELIEFS: dict[str, Callable[[Random, float], Height]] = {
    "rings": _rings,
    "ripples": _ripples,
    "dunes": _dunes,
    "drifts": _drifts,
    "cloth": _cloth,
    "gathers": _gathers,
}
"""By a floor's `shape`; each takes a random generator and the `relief`, 1 as in nature."""
LOW = frozenset({"rings"})
"""Shapes too low to rise over a stand: under one they need not be level."""
ENDLESS = frozenset({"dunes"})
"""Shapes that go on to the horizon; the others lie near the product, and beyond it is flat."""
