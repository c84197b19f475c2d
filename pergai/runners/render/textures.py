"""Procedural textures: what each material looks like, as maps that wrap round.

Every painter is a function of a Noise, a main and a second colour (sRGB 0-1) and gives its Maps. A texture covers
`period` units (see `materials.py`); relief is in units of height over that period.
"""

# ruff: noqa: ARG001 - every entry of the table has the same signature
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from pergai.runners.render.noise import Field, Noise, blend, ramp, warp


@dataclass(frozen=True, slots=True)
class Maps:
    """What a texture gives to a surface. Planes are (size, size)."""

    colour: Field
    """(size, size, 3), sRGB 0-1."""
    roughness: Field | None = None
    """0-1."""
    relief: Field | None = None
    """Height, in texture widths."""


Painter = Callable[[Noise, Field, Field], Maps]


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


def wood(noise: Noise, base: Field, dark: Field) -> Maps:
    """One wide board: cathedral grain from a slowly bending trunk, fine pores along it."""
    return _grain(noise, base, dark, noise.cloud(0.5, 3.0, (0.16, 1.0)))


def planks(noise: Noise, base: Field, dark: Field, rows: int = 7) -> Maps:
    """Boards side by side along x, each from another trunk and a little another colour, with dark joints."""
    n = noise.size
    maps = _grain(noise, base, dark, noise.cloud(0.5, 3.0, (0.16, 1.0)))
    y = (np.arange(n) * rows // n).astype(int)
    inside = (np.arange(n) * rows / n) % 1
    colour, relief = maps.colour.copy(), maps.relief if maps.relief is not None else np.zeros((n, n), np.float32)
    rough = maps.roughness if maps.roughness is not None else np.full((n, n), 0.5, np.float32)
    tone = noise.random.uniform(0.80, 1.12, rows)
    shift = noise.random.integers(0, n, rows)
    joint_x = noise.random.integers(0, n, rows)
    seam = np.exp(-((np.minimum(inside, 1 - inside) * n / rows / 2.2) ** 2)).astype(np.float32)
    for row in range(rows):
        rows_here = y == row
        colour[rows_here] = np.roll(colour[rows_here], shift[row], axis=1) * tone[row]
        warm = np.array([1.0, 1.0 - 0.02 * noise.random.random(), 1.0 - 0.05 * noise.random.random()], np.float32)
        colour[rows_here] *= warm
    gap = np.repeat(seam[:, None], n, axis=1)
    columns = np.abs((np.arange(n)[None] - joint_x[y][:, None] + n / 2) % n - n / 2)
    gap = np.maximum(gap, np.exp(-((columns / 2.2) ** 2)).astype(np.float32))
    colour = blend(colour, dark * 0.25, gap * 0.85)
    return Maps(np.clip(colour, 0, 1), np.clip(rough + 0.3 * gap, 0, 1), relief - 0.0016 * gap)


def _grain(noise: Noise, base: Field, dark: Field, bend: Field) -> Maps:
    _, y = noise.grid()
    wobble = noise.cloud(0.06, 2.2, (0.08, 1.0)) * 0.06
    distance = bend * 1.3 + wobble + 0.25 * np.sin(2 * np.pi * y)
    rings = (distance * 6.5) % 1.0
    late = np.where(rings < 0.8, (rings / 0.8) ** 2.2, (1 - rings) / 0.2).astype(np.float32)
    late = ndimage.gaussian_filter(late, (1.2, 2.5), mode="wrap")
    streak = noise.cloud(0.012, 1.5, (0.03, 1.0))
    pores = ramp(noise.cloud(0.004, 1.6, (0.035, 1.0)) + 0.5 * late, 1.5, 2.6)
    tone = np.clip(0.42 * late + 0.10 * streak + 0.16 * noise.cloud(0.25, 2.0, (0.2, 1.0)) + 0.22, 0, 1)
    colour = blend(base, dark, tone)
    colour = blend(colour, dark * 0.55, pores * 0.55)
    roughness = np.clip(0.42 + 0.12 * late + 0.2 * pores, 0, 1)
    return Maps(np.clip(colour, 0, 1), roughness, (-0.00016 * pores - 0.00005 * late).astype(np.float32))


def herringbone(noise: Noise, base: Field, dark: Field) -> Maps:
    """Short boards laid at right angles to each other."""
    n = noise.size
    maps = _grain(noise, base, dark, noise.cloud(0.4, 3.0, (0.2, 1.0)))
    turned = np.rot90(maps.colour, axes=(0, 1))
    width, ratio = n // 16, 4
    i, j = np.mgrid[0:n, 0:n]
    a, b = i // width, j // width
    across = ((b - a) % (2 * ratio)) < ratio
    first = (b - a) % (2 * ratio)
    board = np.where(across, a * 7919 + (b - first) * 104729, b * 15485863 + (a - (first - ratio)) * 32452843)
    tone = (0.82 + 0.32 * ((board * 2654435761 % 2**32) / 2**32)).astype(np.float32)
    v, u = (i % width) / width, (j % width) / width
    lengthways = np.where(across, v, u)
    ends = np.where(across, np.where(first == 0, u, np.where(first == ratio - 1, 1 - u, 1)), 1.0)
    last = (first - ratio) % ratio
    ends = np.where(~across, np.where(last == ratio - 1, v, np.where(last == 0, 1 - v, 1.0)), ends)
    edge = np.minimum(np.minimum(lengthways, 1 - lengthways), ends) * width
    gap = np.exp(-((edge / 2.0) ** 2)).astype(np.float32)
    colour = np.where(across[..., None], maps.colour, turned) * tone[..., None]
    colour = blend(colour, dark * 0.3, gap * 0.8)
    return Maps(np.clip(colour, 0, 1).astype(np.float32), (0.38 + 0.3 * gap).astype(np.float32), -0.001 * gap)


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


def paper(noise: Noise, base: Field, dark: Field) -> Maps:
    """Seamless background paper: even, with the faintest tooth."""
    tone = noise.cloud(0.01, 1.2) * 0.003 + noise.fine(0.9) * 0.004
    return Maps(np.clip(base + tone[..., None], 0, 1))


def linen(noise: Noise, base: Field, dark: Field) -> Maps:
    """Plain weave of uneven threads with slubs."""
    n = noise.size
    threads = 220
    x, y = noise.grid()
    drift_x, drift_y = noise.cloud(0.15, 2.2) * 0.0016, noise.cloud(0.15, 2.2) * 0.0016
    u, v = (x + drift_x) * threads, (y + drift_y) * threads
    warp_thread, weft_thread = np.floor(u).astype(int) % threads, np.floor(v).astype(int) % threads
    round_u, round_v = np.sin(np.pi * (u % 1)), np.sin(np.pi * (v % 1))
    over = (warp_thread + weft_thread) % 2 == 0
    lift = np.where(over, round_u * (0.55 + 0.45 * round_v), round_v * (0.55 + 0.45 * round_u)).astype(np.float32)
    slub_u = noise.random.normal(0, 1, threads)[warp_thread] + noise.cloud(0.08, 1.5, (20.0, 0.3))
    slub_v = noise.random.normal(0, 1, threads)[weft_thread] + noise.cloud(0.08, 1.5, (0.3, 20.0))
    tone = np.where(over, slub_u, slub_v).astype(np.float32)
    shade = np.clip(0.55 - 0.5 * lift - 0.09 * tone + 0.05 * noise.fine(1.0), 0, 1)
    colour = blend(base, dark, shade * 0.8)
    return Maps(
        np.clip(colour, 0, 1), np.full((n, n), 0.85, np.float32), (0.0011 * lift + 0.0002 * tone).astype(np.float32)
    )


def velvet(noise: Noise, base: Field, dark: Field) -> Maps:
    """Short pile: almost even, a little lighter and darker where it was stroked, the tips of the pile just to be seen."""
    stroked = noise.cloud(0.3, 2.4)
    pile = noise.fine(0.8)
    colour = blend(base, dark, np.clip(0.35 + 0.07 * stroked + 0.07 * pile, 0, 1))
    return Maps(np.clip(colour, 0, 1), np.full_like(pile, 0.9), (0.00025 * pile).astype(np.float32))


def silk(noise: Noise, base: Field, dark: Field) -> Maps:
    thread = noise.cloud(0.02, 1.4, (0.05, 4.0))
    colour = blend(base, dark, ramp(thread, -2, 3) * 0.18)
    return Maps(np.clip(colour, 0, 1), np.full_like(thread, 0.34))


def leather(noise: Noise, base: Field, dark: Field) -> Maps:
    """Pebbled hide: soft cushions of two sizes with creases between them, worn shiny on top."""
    bend_x, bend_y = noise.cloud(0.05, 2.2) * 0.006, noise.cloud(0.05, 2.2) * 0.006
    crease = np.zeros_like(bend_x)
    for count, weight in ((5200, 0.75), (20000, 0.45)):
        distance, _ = noise.cells(count, 2)
        gap = warp((distance[..., 1] - distance[..., 0]).astype(np.float32), bend_x, bend_y)
        crease = np.maximum(crease, weight * (1 - ramp(gap, 0.0, 0.34)))
    crease = ndimage.gaussian_filter(crease, 1.2, mode="wrap")
    patch = noise.cloud(0.25, 2.2)
    colour = blend(base, dark, np.clip(0.5 * crease + 0.14 * ramp(patch, -2, 2) + 0.02 * noise.fine(1.0), 0, 1))
    relief = -0.0016 * crease + 0.0004 * noise.cloud(0.05, 2.4)
    return Maps(np.clip(colour, 0, 1), np.clip(0.36 + 0.3 * crease, 0, 1), relief.astype(np.float32))


def sand(noise: Noise, base: Field, dark: Field) -> Maps:
    """Grains of several colours."""
    grains = noise.fine(0.75)
    specks = ramp(noise.fine(0.7), 2.0, 2.7)
    light = ramp(noise.fine(0.7), 1.9, 2.8)
    drift = noise.cloud(0.2, 1.8)
    colour = blend(base, dark, np.clip(0.34 + 0.15 * grains + 0.10 * drift, 0, 1))
    colour = blend(blend(colour, dark * 0.5, specks * 0.55), np.minimum(base * 1.12, 1), light * 0.6)
    relief = 0.00045 * grains + 0.0012 * noise.cloud(0.03, 1.6)
    return Maps(np.clip(colour, 0, 1), np.full_like(grains, 0.92), relief.astype(np.float32))


def snow(noise: Noise, base: Field, dark: Field) -> Maps:
    crust = 0.5 * noise.cloud(0.02, 1.4) + 0.5 * noise.fine(1.0)
    colour = blend(base, dark, ramp(noise.cloud(0.2, 2.0), -2, 3) * 0.25) + crust[..., None] * 0.008
    relief = 0.0006 * noise.cloud(0.02, 1.5) + 0.00028 * noise.fine(1.0)
    return Maps(np.clip(colour, 0, 1), np.full_like(crust, 0.65), relief.astype(np.float32))


def stone(noise: Noise, base: Field, dark: Field) -> Maps:
    """Split slate or sandstone: layered, rough, with mineral flecks."""
    layers = 0.55 * noise.cloud(0.25, 1.8, (0.5, 1.0)) + 0.35 * noise.cloud(0.04, 1.5) + 0.2 * noise.cloud(0.01, 1.3)
    flecks = ramp(noise.cloud(0.004, 1.2), 2.2, 3.0)
    colour = blend(base, dark, ramp(layers, -2.0, 2.2))
    colour = blend(colour, np.minimum(base * 1.35, 1), flecks * 0.5) + noise.fine(0.9)[..., None] * 0.014
    relief = 0.0024 * noise.cloud(0.12, 1.7) + 0.0006 * noise.cloud(0.015, 1.4)
    return Maps(np.clip(colour, 0, 1), 0.62 + 0.15 * ramp(layers, -1, 1), relief.astype(np.float32))


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


def moss(noise: Noise, base: Field, dark: Field) -> Maps:
    """Cushions of short green pile."""
    distance, _ = noise.cells(420, 2)
    cushion = np.clip(1 - distance[..., 0], 0, 1)
    pile = noise.fine(1.1)
    tone = 0.5 - 0.35 * cushion + 0.14 * pile + 0.2 * noise.cloud(0.15, 1.8)
    colour = blend(base, dark, np.clip(tone, 0, 1))
    relief = 0.008 * cushion + 0.0009 * pile + 0.002 * noise.cloud(0.02, 1.6)
    return Maps(np.clip(colour, 0, 1), np.full_like(pile, 0.95), relief.astype(np.float32))


def water(noise: Noise, base: Field, dark: Field) -> Maps:
    """Small crossing ripples on still water."""
    waves = 0.7 * noise.cloud(0.09, 3.0, (0.5, 1.0)) + 0.3 * noise.cloud(0.03, 3.0)
    flat = np.broadcast_to(base, (noise.size, noise.size, 3)).astype(np.float32)
    return Maps(flat, np.full_like(waves, 0.03), (0.0014 * waves).astype(np.float32))


def brushed(noise: Noise, base: Field, dark: Field) -> Maps:
    """Metal with fine parallel scratches."""
    lines = noise.cloud(0.003, 1.1, (0.01, 1.0))
    colour = blend(base, dark, ramp(lines, -3, 3) * 0.35)
    return Maps(np.clip(colour, 0, 1), np.clip(0.27 + 0.05 * lines, 0.12, 0.5), (0.00004 * lines).astype(np.float32))


def caustics(noise: Noise, base: Field, light: Field) -> Maps:
    """The floor of a shallow pool: a net of bright light on an even ground, under a rippled surface."""
    dx, dy = noise.cloud(0.25, 3.4) * 0.03, noise.cloud(0.25, 3.4) * 0.03
    net = np.zeros_like(dx)
    for count, weight in ((90, 0.7), (260, 0.4)):
        distance, _ = noise.cells(count, 2)
        gap = warp((distance[..., 1] - distance[..., 0]).astype(np.float32), dx, dy)
        net += weight * (0.8 * np.exp(-gap / 0.05) + 0.35 * np.exp(-gap / 0.22))
    waves = 0.7 * noise.cloud(0.09, 3.0) + 0.3 * noise.cloud(0.03, 3.0)
    colour = blend(base, light, np.clip(net * ramp(noise.cloud(0.2, 2.4), -2.2, 1.4), 0, 1))
    return Maps(np.clip(colour, 0, 1), np.full_like(waves, 0.03), (0.0011 * waves).astype(np.float32))


def kraft(noise: Noise, base: Field, dark: Field) -> Maps:
    """Unbleached paper: short fibres, darker and lighter, in every direction."""
    fibres = np.zeros((noise.size,) * 2, np.float32)
    for reach in ((0.12, 1.0), (1.0, 0.12), (0.3, 0.3)):
        fibres = fibres + ramp(noise.cloud(0.004, 1.5, reach), 1.9, 2.8)
    tone = 0.3 + 0.35 * np.clip(fibres, 0, 1) + 0.04 * noise.cloud(0.1, 1.8) + 0.05 * noise.fine(0.8)
    colour = blend(base, dark, np.clip(tone, 0, 1)) + (0.02 * ramp(noise.cloud(0.004, 1.5), 2.0, 2.8))[..., None]
    return Maps(np.clip(colour, 0, 1))


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


def denim(noise: Noise, base: Field, pale: Field) -> Maps:
    """Twill: dyed warp over white weft, a diagonal rib, with the streaks of uneven yarn."""
    x, y = noise.grid()
    threads = 256
    u, v = x * threads, y * threads
    rib = (0.5 + 0.5 * np.sin(2 * np.pi * (u + v) / 2)).astype(np.float32)
    across = (0.5 + 0.5 * np.sin(2 * np.pi * u)).astype(np.float32)
    streak = noise.cloud(0.004, 1.3, (1.0, 0.02))
    worn = noise.cloud(0.25, 2.0)
    tone = 0.16 + 0.34 * (1 - rib) * across + 0.09 * streak + 0.06 * worn + 0.05 * noise.fine(0.9)
    colour = blend(base, pale, np.clip(tone, 0, 1))
    return Maps(np.clip(colour, 0, 1), np.full_like(rib, 0.9), (0.0006 * rib + 0.0002 * across).astype(np.float32))


def gingham(noise: Noise, base: Field, white: Field, checks: int = 12) -> Maps:
    """Woven checks: a dyed thread over a dyed one, over a white one, white over white."""
    x, y = noise.grid()
    threads = checks * 2 * 12
    stripe_x = (np.floor(x * checks * 2) % 2 == 0).astype(np.float32)
    stripe_y = (np.floor(y * checks * 2) % 2 == 0).astype(np.float32)
    u, v = x * threads, y * threads
    over = ((np.floor(u) + np.floor(v)) % 2 == 0).astype(np.float32)
    dyed = 0.25 * (stripe_x + stripe_y) + 0.5 * np.where(over > 0, stripe_x, stripe_y)
    lift = np.where(over > 0, np.sin(np.pi * (u % 1)), np.sin(np.pi * (v % 1))).astype(np.float32)
    tone = dyed - 0.07 * (1 - lift) + 0.02 * noise.fine(1.0)
    colour = blend(white, base, np.clip(tone, 0, 1).astype(np.float32))
    return Maps(np.clip(colour, 0, 1), np.full_like(lift, 0.9), (0.0007 * lift).astype(np.float32))


def citrus(noise: Noise, rind: Field, pulp: Field, segments: int = 10) -> Maps:
    """A slice, the rind at the rim: pith, ten segments between pale walls, juice sacs that run outward. It does not wrap."""
    x, y = noise.grid()
    dx, dy = (x - 0.5) * 2, (y - 0.5) * 2
    r = np.hypot(dx, dy)
    turn = np.arctan2(dy, dx) / (2 * np.pi) * segments + 0.05 * noise.cloud(0.4, 3.4)
    wall = np.abs((turn % 1) - 0.5).astype(np.float32)
    wall_width = 0.5 - 0.03 / np.clip(r, 0.12, 1)
    sacs = warp(noise.cloud(0.02, 1.6), 0.03 * dx, 0.03 * dy) * 0.6
    rays = np.sin(2 * np.pi * (turn * 5 + 0.7 * noise.cloud(0.06, 2.4))).astype(np.float32)
    flesh = np.clip(0.5 + 0.34 * rays * ramp(r, 0.1, 0.5) + 0.2 * sacs, 0, 1)
    colour = blend(pulp, np.clip(rind * 0.95, 0, 1), np.clip(flesh * 0.75, 0, 1).astype(np.float32))
    pale = rind * 0.18 + 0.8
    pith = ramp((wall - wall_width).astype(np.float32), -0.02, 0.03)
    pith = np.maximum(pith, np.maximum(ramp(r, 0.83, 0.87), 1 - ramp(r, 0.06, 0.1)))
    colour = blend(colour, np.broadcast_to(pale, colour.shape), pith)
    colour = blend(colour, np.broadcast_to(rind, colour.shape), ramp(r, 0.925, 0.95))
    rough = np.clip(0.2 + 0.45 * pith, 0, 1)
    return Maps(np.clip(colour, 0, 1), rough.astype(np.float32), (0.004 * flesh * (1 - pith)).astype(np.float32))


def leaf(noise: Noise, base: Field, dark: Field) -> Maps:
    """A leaf, its stalk below: midrib, side veins, a darker rim. It does not wrap."""
    x, y = noise.grid()
    side, along = np.abs(x - 0.5), 1 - y
    midrib = np.exp(-((side / 0.012) ** 2))
    ribs = np.abs(((along - 0.9 * side) * 11) % 1 - 0.5) * 2
    veins = np.maximum(midrib, 0.6 * np.exp(-((1 - ribs) / 0.10)) * ramp(0.5 - side, 0.02, 0.2))
    mottle = 0.5 * noise.cloud(0.15, 1.8) + 0.3 * noise.cloud(0.02, 1.4)
    tone = 0.2 + 0.16 * mottle + 0.5 * ramp(side, 0.25, 0.5) - 0.14 * (1 - ribs)
    colour = blend(base, dark, np.clip(tone, 0, 1).astype(np.float32)) + (0.10 * veins)[..., None]
    return Maps(np.clip(colour, 0, 1).astype(np.float32))


def petal(noise: Noise, base: Field, deep: Field) -> Maps:
    """A petal: deep at its foot, paling outward, with the finest veins. It does not wrap."""
    x, y = noise.grid()
    along = 1 - y
    fan = np.abs(((x - 0.5) / (0.25 + 0.75 * along) * 26 + 0.3 * noise.cloud(0.1, 2.4)) % 1 - 0.5)
    tone = 0.85 * (1 - ramp(along, 0.0, 0.5)) + 0.10 * fan + 0.06 * noise.cloud(0.2, 2.0)
    return Maps(np.clip(blend(base, deep, np.clip(tone, 0, 1).astype(np.float32)), 0, 1))


PAINTERS: dict[str, Painter] = {
    "marble": marble, "travertine": travertine, "wood": wood, "planks": planks, "herringbone": herringbone,
    "concrete": concrete, "plaster": plaster, "paper": paper, "linen": linen, "velvet": velvet, "silk": silk,
    "leather": leather, "sand": sand, "snow": snow, "stone": stone, "asphalt": asphalt, "terrazzo": terrazzo,
    "tiles": tiles, "moss": moss, "water": water, "steel": brushed, "pool": caustics, "kraft": kraft, "brick": brick,
    "denim": denim, "gingham": gingham, "citrus": citrus, "leaf": leaf, "petal": petal,
}  # fmt: skip


# A painter's colours are a mixture, texel by texel: a share of the main colour, a share of the second, and a little
# light of its own. Three colours shown to it at once, one a channel, give the shares; so one painting serves all colours.
_SHOWN = np.array([[0.75, 0.25], [0.25, 0.75], [0.3, 0.3]], np.float32)


def mixture(painter: Painter, noise: Noise) -> Maps:
    """Maps whose `colour` holds the shares (size, size, 3): of the main colour, of the second, and of white."""
    maps = painter(noise, _SHOWN[:, 0], _SHOWN[:, 1])
    solve = np.linalg.inv(np.concatenate([_SHOWN, np.ones((3, 1), np.float32)], axis=1)).astype(np.float32)
    return Maps(maps.colour @ solve.T, maps.roughness, maps.relief)


def mixed(shares: npt.NDArray[np.generic], colour: Field, accent: Field) -> npt.NDArray[np.uint8]:
    """The shares of `mixture` in two colours, as sRGB bytes."""
    palette = np.stack([colour, accent, np.ones(3, np.float32)]).astype(np.float32)
    return np.asarray(np.clip(np.rint((shares.astype(np.float32) @ palette) * 255), 0, 255).astype(np.uint8))


def quantised(maps: Maps) -> dict[str, npt.NDArray[np.generic]]:
    """Maps as they are kept on the disk: shares and relief in half floats, roughness in 8 bits."""
    kept: dict[str, npt.NDArray[np.generic]] = {"colour": maps.colour.astype(np.float16)}
    if maps.roughness is not None:
        kept["roughness"] = np.rint(np.clip(maps.roughness, 0, 1) * 255).astype(np.uint8)
    if maps.relief is not None:
        kept["relief"] = maps.relief.astype(np.float16)
    return kept
