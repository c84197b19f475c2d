"""Painters of pictures: the green or snowy distance as an open lens sees it. They wrap round from left to right only."""

from __future__ import annotations

import numpy as np
from scipy import fft

from pergai.runners.render.noise import Field, Maps, Noise, blend, ramp

ASPECT = 8.0
"""Width of what a picture shows over its height: more than any photograph does, so that nothing is seen twice in it."""
WHITE = np.ones(3, np.float32)


def garden(noise: Noise, sunlit: Field, shade: Field) -> Maps:
    """Shrubs in two rows behind a lawn, one with white flowers, crowns above them, the sky between."""
    up = _up(noise)
    picture = _sky(noise, sunlit, 0.9)
    crowns, cover = _crowns(noise, sunlit, shade, up, foot=0.42, top=0.98, gaps=0.75, far=0.3)
    picture = _before(picture, crowns, cover * (1 - ramp(up, 0.86, 0.97)), 0.020)  # only the sky may go on above
    picture = _before(picture, *_crowns(noise, sunlit, shade, up, foot=0.16, top=0.50, gaps=0.1, far=0.1), 0.016)
    shrubs, cover = _crowns(noise, sunlit, shade, up, foot=0.1, top=0.27, gaps=0.0, far=0.0)
    flowers = ramp(noise.fine(1.6) + 0.7 * _cloud(noise, 0.44, 2.0), 2.6, 3.4)
    picture = _before(picture, blend(shrubs, 0.95 * WHITE, flowers), cover, 0.012)
    return Maps(np.clip(_lawn(noise, picture, sunlit, shade, up, 0.13), 0, 1))


def meadow(noise: Noise, sunlit: Field, shade: Field) -> Maps:
    """Open grassland in the sun that ends at a line of round trees, much sky."""
    up = _up(noise)
    picture = _sky(noise, sunlit, 1.0)
    picture = _before(picture, *_crowns(noise, sunlit, shade, up, foot=0.26, top=0.78, gaps=0.2, far=0.4), 0.020)
    picture = _before(picture, *_crowns(noise, sunlit, shade, up, foot=0.24, top=0.46, gaps=0.1, far=0.12), 0.018)
    return Maps(np.clip(_lawn(noise, picture, sunlit, shade, up, 0.27), 0, 1))


def forest(noise: Noise, sunlit: Field, shade: Field) -> Maps:
    """Trunks, near ones and far ones, undergrowth in the shade, light that falls through the leaves."""
    up = _up(noise)
    glade = np.exp(-(((up - 0.55) / 0.3) ** 2)) * (1 + 0.5 * _cloud(noise, 0.8, 3.0))
    picture = blend(blend(shade, sunlit, np.clip(0.35 + 0.5 * glade, 0, 1)), WHITE, np.clip(0.5 * glade, 0, 0.7))
    picture = _lens(picture, 0.05)
    for count, wide, light, blur in ((4.0, 0.024, 0.55, 0.03), (1.75, 0.048, 0.28, 0.022)):
        leaves = _crowns(noise, sunlit, shade, up, foot=-0.2, top=1.3, gaps=1.5, far=0.5 * light)
        picture = _before(picture, *leaves, blur)
        picture = _before(picture, *_trunks(noise, sunlit, shade, count, wide, light), blur)
    leaves = _crowns(noise, sunlit, shade, up, foot=0.62, top=1.4, gaps=0.9, far=0.0)
    picture = _before(picture, *leaves, 0.034)
    picture = _before(picture, *_crowns(noise, sunlit, shade, up, foot=-0.1, top=0.3, gaps=0.2, far=0.0), 0.02)
    return Maps(np.clip(picture, 0, 1))


def firs(noise: Noise, sunlit: Field, shade: Field) -> Maps:
    """A wood of firs in three depths, snow on their boughs and on the ground before them, a pale sky."""
    up = _up(noise)
    picture = _sky(noise, sunlit, 0.9)
    for count, high, far, blur in ((9.0, 0.66, 0.62, 0.020), (6.0, 0.76, 0.36, 0.018), (3.0, 0.92, 0.0, 0.016)):
        picture = _before(picture, *_row(noise, sunlit, shade, count, high, far), blur)
    drift = ramp(0.07 + 0.015 * noise.cloud(0.2, 2.2) - up, -0.01, 0.02)
    return Maps(np.clip(_before(picture, np.broadcast_to(0.94 * WHITE, picture.shape), drift, 0.016), 0, 1))


def _cloud(noise: Noise, scale: float, roughness: float) -> Field:
    """A cloud that is as wide as high in the picture; `scale` in heights of it."""
    return noise.cloud(scale / ASPECT, roughness, (1.0, 1 / ASPECT))


def _up(noise: Noise) -> Field:
    """Height over the foot of the picture, 0-1."""
    return noise.grid()[1]


def _sky(noise: Noise, sunlit: Field, light: float) -> Field:
    haze = np.clip(1.1 - 0.5 * _up(noise), 0, 1)
    return blend(light * WHITE, 0.85 * WHITE + 0.1 * sunlit, haze)


def _crowns(
    noise: Noise, sunlit: Field, shade: Field, up: Field, *, foot: float, top: float, gaps: float, far: float
) -> tuple[Field, Field]:
    """Foliage between two heights: its colours, and how much of what is behind it covers. It is made of round masses of many
    sizes, each lit from above on the left and dark below; `gaps` is how much light comes through, `far` how pale the air
    between makes it."""
    mass = _cloud(noise, 0.44, 2.2)
    outline = top - 0.16 * (top - foot) * (1 - _cloud(noise, 0.6, 2.4))
    lobes = mass + 0.6 * _cloud(noise, 0.12, 1.8)
    leaves = lobes + 0.7 * _cloud(noise, 0.04, 1.2)
    inside = 8 * (outline - up) / max(top - foot, 0.1) + 0.8 * leaves
    cover = ramp(inside.astype(np.float32), 0.0, 0.7)
    cover = cover * ramp(np.asarray(leaves + 2.6 - 2.2 * gaps, np.float32), 0.0, 0.5)
    n = noise.size
    light = lobes - np.roll(lobes, (-n // 40, n // 90), axis=(0, 1))
    tone = 0.42 + 0.24 * light + 0.10 * mass + 0.16 * noise.fine(1.2) + 0.25 * (up - foot) / max(top - foot, 0.1)
    glint = ramp(np.asarray(noise.fine(1.2) + 0.5 * light, np.float32), 2.2, 3.4)
    colour = blend(0.75 * shade, sunlit, np.clip(tone - 0.1, 0, 1))
    colour = blend(colour, 0.35 * sunlit + 0.65 * WHITE, np.clip(0.8 * glint, 0, 1))
    return blend(colour, 0.72 * WHITE + 0.2 * sunlit, np.full_like(cover, far)), cover


def _trunks(noise: Noise, sunlit: Field, shade: Field, count: float, wide: float, light: float) -> tuple[Field, Field]:
    """Stems that reach from the ground out of the picture, lit along their left: how many, and half their width, in heights
    of the picture."""
    x, y = noise.grid()
    cover, lit = np.zeros_like(x), np.zeros_like(x)
    stems = round(count * ASPECT)
    for k in range(stems):
        middle = (k + float(noise.random.uniform(0.15, 0.85))) / stems
        lean, half = float(noise.random.normal(0, 0.08)), wide * float(noise.random.uniform(0.6, 1.4))
        off = ((x - middle - lean / ASPECT * y + 0.5) % 1 - 0.5) * ASPECT
        aside = (off / (half * (1.15 - 0.3 * y))).astype(np.float32)
        inside = (np.abs(aside) < 1).astype(np.float32)
        cover = np.maximum(cover, inside)
        lit = np.where(inside > 0, 1 - ramp(aside, -1.0, 0.2), lit)
    light_on_bark = np.clip(0.75 * lit + 0.08 * noise.fine(1.0), 0, 1).astype(np.float32)
    bark = blend(0.35 * shade, 0.5 * sunlit + 0.12, light_on_bark)
    return blend(bark, 0.5 * WHITE + 0.3 * sunlit, np.full_like(x, 0.55 * light)), cover


def _row(noise: Noise, sunlit: Field, shade: Field, count: float, high: float, far: float) -> tuple[Field, Field]:
    """Firs beside each other, `count` and their height in heights of the picture: tiers of drooping boughs, snow on each
    tier, more on the left, the dark under it. `far` as of `_crowns`."""
    x, y = noise.grid()
    needles = _cloud(noise, 0.03, 1.2)
    cover, snow = np.zeros_like(x), np.zeros_like(x)
    trees = round(count * ASPECT)
    for k in range(trees):
        tall = high * float(noise.random.uniform(0.6, 1.1))
        half = tall * float(noise.random.uniform(0.19, 0.26))
        middle = (k + float(noise.random.uniform(0.0, 1.0))) / trees
        near = np.flatnonzero(np.abs((x[0] - middle + 0.5) % 1 - 0.5) * ASPECT < 1.2 * half)
        aside = ((x[:, near] - middle + 0.5) % 1 - 0.5) * ASPECT / half
        up = y[:, near] / tall
        tier = (9 * (up + 0.09 * np.abs(aside)) + float(noise.random.random())) % 1
        outline = np.clip(1 - up, 0, 1) ** 0.9 * (1.04 - 0.36 * tier + 0.10 * needles[:, near])
        inside = ramp(outline - np.abs(aside), 0.0, 0.06) * (up < 1)
        lying = ramp(np.sin(np.pi * np.minimum(1.25 * tier, 1)) - 0.25 * aside + 0.3 * needles[:, near], 0.55, 1.25)
        snow[:, near] = np.where(inside > 0.5, lying, snow[:, near])
        cover[:, near] = np.maximum(cover[:, near], inside)
    green = blend(0.8 * shade, sunlit, np.clip(0.3 + 0.14 * needles + 0.12 * noise.fine(1.2), 0, 1).astype(np.float32))
    colour = blend(green, 0.94 * WHITE, (0.85 * snow).astype(np.float32))
    return blend(colour, 0.78 * WHITE + 0.1 * sunlit, np.full_like(cover, far)), cover


def _lawn(noise: Noise, picture: Field, sunlit: Field, shade: Field, up: Field, top: float) -> Field:
    """Grass that runs to the foot of what stands behind it, with shadows lying across."""
    lying = noise.cloud(0.5, 2.2, (0.6, 3.0)) * ramp(up, 0.0, 0.1)  # even at the foot, where it may go on
    tone = 0.72 + 0.22 * lying + 0.05 * ramp(up, 0.0, 0.1) * noise.cloud(0.03, 1.4, (0.3, 1.0))
    colour = blend(shade, sunlit, np.clip(tone, 0, 1))
    colour = blend(colour, 0.6 * sunlit + 0.4 * WHITE, np.clip(0.5 * ramp(lying, 0.0, 2.0), 0, 1))
    edge = ramp(top + 0.012 * noise.cloud(0.3, 2.2) - up, -0.004, 0.02)
    return _before(picture, colour, edge.astype(np.float32), 0.016)


def _before(picture: Field, colour: Field, cover: Field, radius: float) -> Field:
    """What stands in front of a picture, blurred by itself."""
    seen = _lens(cover[..., None], radius)
    hue = _lens(colour * cover[..., None], radius) / np.maximum(seen, 1e-3)
    return (picture * (1 - seen) + hue * seen).astype(np.float32)


def _lens(picture: Field, radius: float) -> Field:
    """Every point spread evenly over a disc of a radius in heights of the picture; what lies beyond its foot and its top
    looks like the edge."""
    n = len(picture)
    pad = int(np.ceil(radius * n)) + 1
    tall = np.pad(picture, ((pad, pad), (0, 0), (0, 0)), mode="edge")
    rows = len(tall)
    dy, dx = fft.fftfreq(rows, 1 / rows)[:, None], fft.fftfreq(n, 1 / n)[None]
    disc = np.clip(1 + radius * n - np.hypot(dy, dx * ASPECT), 0, 1)
    spread = fft.rfft2(disc / disc.sum())[..., None] * fft.rfft2(tall, axes=(0, 1))
    blurred: Field = fft.irfft2(spread, s=tall.shape[:2], axes=(0, 1))[pad : pad + n].astype(np.float32)
    return blurred
