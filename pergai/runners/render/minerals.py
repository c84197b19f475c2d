"""Painters of textures. What is dug, cast or fallen: marble, concrete, plaster, asphalt, terrazzo, tiles, brick, sand, snow."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from pergai.runners.render.noise import Field, Maps, Noise, blend, ramp, warp


def marble(noise: Noise, base: Field, vein: Field) -> Maps:
    """Long, branching veins of several weights over soft clouds, all drifting the same way."""
    dx, dy = noise.cloud(0.35, 2.6) * 0.075, noise.cloud(0.35, 2.6) * 0.075
    fine_x, fine_y = noise.cloud(0.05, 2.0) * 0.006, noise.cloud(0.05, 2.0) * 0.006
    total = np.zeros_like(dx)
    for scale, width, weight in ((0.34, 0.035, 0.85), (0.16, 0.03, 0.5), (0.075, 0.035, 0.28)):
        ridge = np.abs(warp(noise.cloud(scale, 3.2, (0.55, 1.35)), dx + fine_x, dy + fine_y))
        presence = ramp(noise.cloud(0.25, 2.5), -0.2, 1.6)
        line = np.exp(-ridge / (width * (0.4 + 1.3 * presence))) + 0.35 * np.exp(-ridge / (width * 7))
        total += weight * presence * line
    clouds = ramp(warp(noise.cloud(0.3, 2.2, (0.6, 1.3)), dx, dy), -1.2, 2.4)
    shade = blend(base, base * 0.55 + vein * 0.45, np.clip(clouds * 0.5, 0, 1))
    grain = noise.fine(0.8) * 0.006
    colour = blend(shade, vein, np.clip(total, 0, 0.85)) + grain[..., None]
    return Maps(np.clip(colour, 0, 1), 0.10 + 0.08 * ramp(noise.cloud(0.08), -1, 2))


def travertine(noise: Noise, base: Field, dark: Field) -> Maps:
    """Bands of sediment with rows of small holes."""
    dy = noise.cloud(0.4, 2.6, (0.4, 1.0)) * 0.03
    _, y = noise.grid()
    phase = y + dy
    bands = np.zeros_like(phase)
    for frequency, weight in ((5, 0.4), (13, 0.3), (31, 0.2)):
        bands += weight * np.sin(2 * np.pi * (frequency * phase + noise.random.random()))
    bands = bands + 0.35 * noise.cloud(0.12, 1.6, (0.15, 1.0))
    pores = warp(noise.cloud(0.012, 2.0, (0.35, 1.0)), np.zeros_like(dy), dy) + 0.9 * bands
    holes = ramp(pores, 2.1, 2.6)
    colour = blend(base, dark, ramp(bands, -1.2, 1.5) * 0.55)
    colour = blend(colour, dark * 0.55, holes * 0.8) + noise.fine(1.0)[..., None] * 0.008
    return Maps(np.clip(colour, 0, 1), 0.45 + 0.25 * holes, -0.0012 * holes + 0.00003 * noise.fine(1.5))


def concrete(noise: Noise, base: Field, dark: Field) -> Maps:
    """Cloudy cement with trowel marks and a few small pits."""
    clouds = 0.55 * noise.cloud(0.35, 2.2) + 0.3 * noise.cloud(0.06, 1.6) + 0.12 * noise.cloud(0.015, 1.4)
    trowel = noise.cloud(0.2, 1.8, (0.25, 1.0)) * 0.25
    distance, index = noise.cells(900)
    radius = noise.random.uniform(0.0, 0.11, 900)[index] * (noise.random.random(900) < 0.45)[index]
    pits = ramp((radius - distance[..., 0]).astype(np.float32), 0.0, 0.03)
    colour = blend(base, dark, ramp(clouds + trowel, -2.2, 2.4) * 0.62) + noise.fine(0.9)[..., None] * 0.012
    colour = blend(colour, dark * 0.55, pits * 0.7)
    relief = 0.00035 * noise.cloud(0.05, 1.7) + 0.00005 * noise.fine(1.2) - 0.0015 * pits
    return Maps(np.clip(colour, 0, 1), 0.62 + 0.12 * ramp(clouds, -1, 1), relief.astype(np.float32))


def plaster(noise: Noise, base: Field, dark: Field) -> Maps:
    """Hand-trowelled lime plaster: broad overlapping strokes, soft mottling."""
    dx, dy = noise.cloud(0.2, 2.4) * 0.04, noise.cloud(0.2, 2.4) * 0.04
    strokes = warp(noise.cloud(0.12, 2.0, (0.3, 1.0)), dx, dy) + warp(noise.cloud(0.12, 2.0, (1.0, 0.35)), dy, dx)
    mottle = 0.6 * noise.cloud(0.3, 2.0) + 0.35 * strokes + 0.2 * noise.cloud(0.04, 1.6)
    colour = blend(base, dark, ramp(mottle, -2.2, 3.0) * 0.42) + noise.fine(1.0)[..., None] * 0.006
    relief = 0.0011 * strokes + 0.0005 * noise.cloud(0.03, 1.8) + 0.00003 * noise.fine(1.5)
    return Maps(np.clip(colour, 0, 1), np.full_like(mottle, 0.8), relief.astype(np.float32))


def sand(noise: Noise, base: Field, dark: Field) -> Maps:
    """Grains of several colours."""
    grains = 0.6 * noise.fine(0.75) + 0.8 * noise.fine(1.7)  # those that a picture of 1024 pixels can show, too
    specks = ramp(noise.fine(1.3), 2.0, 2.7)
    light = ramp(noise.fine(1.3), 1.9, 2.8)
    drift = noise.cloud(0.2, 1.8)
    colour = blend(base, dark, np.clip(0.34 + 0.17 * grains + 0.05 * drift, 0, 1))
    colour = blend(blend(colour, dark * 0.5, specks * 0.6), np.minimum(base * 1.12, 1), light * 0.6)
    relief = 0.0006 * grains + 0.0012 * noise.cloud(0.03, 1.6)
    return Maps(np.clip(colour, 0, 1), np.full_like(grains, 0.92), relief.astype(np.float32))


def snow(noise: Noise, base: Field, dark: Field) -> Maps:
    crust = 0.5 * noise.cloud(0.02, 1.4) + 0.5 * noise.fine(1.0)
    colour = blend(base, dark, ramp(noise.cloud(0.2, 2.0), -2, 3) * 0.25) + crust[..., None] * 0.008
    relief = 0.0006 * noise.cloud(0.02, 1.5) + 0.00028 * noise.fine(1.0)
    return Maps(np.clip(colour, 0, 1), np.full_like(crust, 0.65), relief.astype(np.float32))


def stone(noise: Noise, base: Field, dark: Field) -> Maps:
    """Split rock: cloudy, with grains of several minerals and hollows where flakes broke off."""
    clouds = 0.5 * noise.cloud(0.3, 2.2, (0.5, 1.0)) + 0.3 * noise.cloud(0.05, 2.0)
    grains, crystals = noise.fine(1.5), noise.fine(2.6)
    colour = blend(base, dark, np.clip(0.42 + 0.2 * clouds + 0.11 * grains + 0.08 * crystals, 0, 1))
    colour = blend(colour, np.minimum(base * 1.3, 1), ramp(noise.fine(1.8), 1.9, 2.7) * 0.6)
    colour = blend(colour, dark * 0.6, ramp(noise.fine(1.8), 2.0, 2.8) * 0.6)
    flakes = ramp(noise.cloud(0.07, 2.4, (1.0, 0.6)), -0.6, 0.9)
    relief = 0.0018 * flakes + 0.0014 * noise.cloud(0.12, 2.2) + 0.00005 * grains
    return Maps(np.clip(colour, 0, 1), 0.62 + 0.15 * ramp(clouds, -1, 1), relief.astype(np.float32))


def pebble(noise: Noise, base: Field, dark: Field) -> Maps:
    """What river stones are made of, for stones that each show a small part of it: a tone that hardly changes over one, fine
    grains, bands in some, veins of quartz across a few."""
    tone, kind = noise.cloud(0.1, 3.2), noise.cloud(0.14, 3.2)
    bands = noise.cloud(0.02, 1.8, (0.08, 1.0)) * ramp(kind, 0.2, 1.4)
    ridge = np.abs(
        warp(noise.cloud(0.09, 3.0, (0.5, 1.4)), noise.cloud(0.03, 2.4) * 0.004, noise.cloud(0.03, 2.4) * 0.004)
    )
    veins = np.exp(-ridge / 0.035) * ramp(-kind, 0.9, 1.6)
    colour = blend(base, dark, np.clip(0.5 + 0.38 * tone + 0.09 * bands + 0.05 * noise.fine(1.4), 0, 1))
    colour = blend(colour, base * 0.5 + 0.42, (0.75 * veins).astype(np.float32))
    return Maps(np.clip(colour, 0, 1).astype(np.float32), np.clip(0.26 + 0.03 * tone, 0.1, 1).astype(np.float32))


def asphalt(noise: Noise, base: Field, dark: Field) -> Maps:
    distance, index = noise.cells(26000, 2)
    tone = noise.random.normal(0, 1, 26000)[index].astype(np.float32)
    edge = 1 - ramp(distance[..., 1] - distance[..., 0], 0.05, 0.4)
    colour = blend(base, dark, np.clip(0.45 + 0.2 * tone + 0.4 * edge + 0.12 * noise.cloud(0.2, 1.8), 0, 1))
    relief = -0.0011 * edge + 0.0004 * tone
    return Maps(np.clip(colour, 0, 1), np.clip(0.7 - 0.1 * tone, 0.3, 1).astype(np.float32), relief.astype(np.float32))


def terrazzo(noise: Noise, base: Field, accent: Field) -> Maps:
    """Chips of marble of several sizes and colours in polished cement."""
    colour = np.broadcast_to(base, (noise.size, noise.size, 3)).astype(np.float32)
    colour = colour + noise.fine(1.2)[..., None] * 0.008 + noise.cloud(0.2, 2.0)[..., None] * 0.006
    palette = np.stack([accent, accent * 0.55, np.minimum(base * 1.12, 1), base * 0.45 + 0.1, 0.5 * (accent + base)])
    bend_x, bend_y = noise.cloud(0.03, 2.2) * 0.0035, noise.cloud(0.03, 2.2) * 0.0035
    for count, low, high, share in ((5200, 0.10, 0.24, 0.6), (900, 0.16, 0.36, 0.75), (240, 0.2, 0.42, 0.6)):
        distance, index = noise.cells(count, 2)
        gap = warp(distance[..., 1] - distance[..., 0], bend_x, bend_y)
        size = noise.random.uniform(low, high, count)[index]
        present = (noise.random.random(count) < share)[index]
        chip = ramp((gap - (0.62 - size)).astype(np.float32), -0.012, 0.012) * present
        shade = palette[noise.random.integers(0, len(palette), count)][index]
        shade = shade * noise.random.uniform(0.9, 1.06, count)[index][..., None]
        colour = blend(colour, shade, chip.astype(np.float32))
    return Maps(np.clip(colour, 0, 1).astype(np.float32), np.full((noise.size,) * 2, 0.16, np.float32))


def tiles(noise: Noise, base: Field, grout: Field, across: int = 8) -> Maps:
    """Square glazed tiles, each a little different, in grout."""
    n = noise.size
    x, y = noise.grid()
    u, v = (x * across) % 1, (y * across) % 1
    edge = np.minimum(np.minimum(u, 1 - u), np.minimum(v, 1 - v)).astype(np.float32)
    joint = 1 - ramp(edge, 0.012, 0.022)
    number = (np.floor(x * across) * across + np.floor(y * across)).astype(int)
    tone = noise.random.normal(0, 0.018, across * across)[number]
    tilt_x = noise.random.normal(0, 0.006, across * across)[number] * u
    tilt_y = noise.random.normal(0, 0.006, across * across)[number] * v
    glaze = noise.cloud(0.03, 2.4) * 0.00035
    pillow = ramp(edge, 0.0, 0.07)
    colour = blend(base + tone[..., None] + noise.cloud(0.05, 2)[..., None] * 0.008, grout, joint)
    relief = 0.0022 * pillow + (tilt_x + tilt_y) / across + glaze
    return Maps(
        np.clip(colour, 0, 1).astype(np.float32),
        np.where(joint > 0.5, 0.8, 0.08).astype(np.float32),
        ndimage.gaussian_filter(relief.astype(np.float32), 1.0, mode="wrap") * np.float32(n > 0),
    )


def brick(noise: Noise, base: Field, mortar: Field, courses: int = 16) -> Maps:
    """Hand-moulded bricks in running bond, no two of one tone, in recessed mortar."""
    x, y = noise.grid()
    wobble_x, wobble_y = noise.cloud(0.03, 2.0) * 0.0011, noise.cloud(0.03, 2.0) * 0.0011
    v = (y + wobble_y) * courses
    row = np.floor(v).astype(int) % courses
    across = courses * 5 // 16
    u = (x + wobble_x) * across + 0.5 * (row % 2)
    column = np.floor(u).astype(int) % across
    edge = np.minimum(np.minimum(u % 1, 1 - u % 1) * courses / across, np.minimum(v % 1, 1 - v % 1)).astype(np.float32)
    joint = 1 - ramp(edge, 0.07, 0.13)
    tone = noise.random.normal(0, 1, (courses, across))[row, column].astype(np.float32)
    rough = 0.5 * noise.cloud(0.02, 1.4) + 0.4 * noise.cloud(0.1, 1.6)
    face = base * (1 + 0.065 * tone + 0.04 * rough)[..., None] + (0.012 * noise.fine(1.0))[..., None]
    colour = blend(face, mortar + (0.02 * noise.fine(1.0))[..., None], joint)
    relief = 0.004 * ramp(edge, 0.02, 0.16) + 0.0006 * rough + 0.0007 * tone
    return Maps(np.clip(colour, 0, 1).astype(np.float32), np.full_like(edge, 0.85), relief.astype(np.float32))
