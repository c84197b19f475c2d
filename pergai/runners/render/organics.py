"""Painters of textures. What is grown: boards, benches and parquet, paper, leather, moss, leaves, petals, slices of citrus."""

# ruff: noqa: ARG001 - every entry of the table has the same signature
from __future__ import annotations

import numpy as np
from scipy import ndimage

from pergai.runners.render.noise import Field, Maps, Noise, blend, ramp, warp


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


def bench(noise: Noise, base: Field, dark: Field, rows: int = 6) -> Maps:
    """Boards of a workbench side by side along x, as long as the bench: each from another place of its trunk, with narrow growth
    rings, a few knots, the marks of years: oil, scratches, dents, edges worn round."""
    n = noise.size
    x, y = noise.grid()
    row, inside = (y * rows).astype(int), (y * rows) % 1
    pith, tone = noise.random.uniform(-0.6, 1.6, rows)[row], noise.random.normal(0, 1, rows)[row]
    deep = 0.45 + 0.22 * noise.cloud(0.5, 3.2, (0.12, 1.0))
    swirl, eyes = np.zeros_like(x), np.zeros_like(x)
    for _ in range(7):
        at_x, at_y = noise.random.random(2)
        size = noise.random.uniform(0.006, 0.013)
        aside = np.hypot(((x - at_x + 0.5) % 1 - 0.5) * 0.55, (y - at_y + 0.5) % 1 - 0.5) / size
        here = row == int(at_y * rows)
        swirl += here * 0.5 * np.exp(-((aside / 2.6) ** 2))
        eyes = np.maximum(eyes, here * (1 - ramp(aside, 0.7, 1.15)))
    radius = np.hypot(inside - pith, deep) + 0.5 * swirl + 0.012 * noise.cloud(0.03, 2.2, (0.06, 1.0))
    ring = (radius * 17) % 1
    late = np.where(ring < 0.8, (ring / 0.8) ** 2.4, (1 - ring) / 0.2)
    late = ndimage.gaussian_filter(late.astype(np.float32), (0.9, 3.0), mode="wrap")
    pores = ramp(noise.cloud(0.003, 1.6, (0.03, 1.0)), 1.4, 2.6)
    fibre = noise.cloud(0.006, 1.4, (0.02, 1.0))
    oil = ramp(noise.cloud(0.2, 2.6), 1.0, 2.6)
    worn = noise.cloud(0.3, 2.0, (0.4, 1.0))
    scratched = _scratches(noise, 70)
    edge = np.minimum(inside, 1 - inside) * n / rows
    gap, round_edge = np.exp(-((edge / 2.6) ** 2)), np.exp(-edge / 9)
    shade = (
        0.26 + 0.30 * late + 0.06 * fibre + 0.11 * tone + 0.10 * worn + 0.22 * pores + 0.22 * oil + 0.12 * round_edge
    )
    colour = blend(base, dark, np.clip(shade - 0.16 * scratched, 0, 1).astype(np.float32))
    colour = blend(colour, dark * 0.6, (0.6 * eyes).astype(np.float32))
    colour = blend(colour, dark * 0.22, (0.92 * gap).astype(np.float32))
    relief = -0.0016 * gap - 0.0007 * round_edge - 0.00012 * pores - 0.00006 * late - 0.0002 * scratched
    rough = np.clip(0.55 + 0.08 * late - 0.2 * oil + 0.2 * gap + 0.06 * worn, 0.2, 1)
    return Maps(np.clip(colour, 0, 1), rough.astype(np.float32), relief.astype(np.float32))


def _scratches(noise: Noise, count: int) -> Field:
    """Straight scratches of every direction and many lengths, most of them faint: 0-1. They wrap round."""
    marks = np.zeros((noise.size,) * 2, np.float32)
    for _ in range(count):
        length = int(noise.random.exponential(0.04) * noise.size) + 8
        angle, (x, y) = noise.random.uniform(0, np.pi), noise.random.uniform(0, noise.size, 2)
        t = np.arange(0, length, 0.5)
        pressed = np.sin(np.pi * t / length) * noise.random.uniform(0.2, 1.0)
        rows, columns = (
            (at + t * way).astype(int) % noise.size for at, way in ((y, np.sin(angle)), (x, np.cos(angle)))
        )
        np.maximum.at(marks, (rows, columns), pressed.astype(np.float32))
    return np.asarray(np.clip(2.2 * ndimage.gaussian_filter(marks, 0.9, mode="wrap"), 0, 1))


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


def paper(noise: Noise, base: Field, dark: Field) -> Maps:
    """Seamless background paper: even, with the faintest tooth."""
    tone = noise.cloud(0.01, 1.2) * 0.003 + noise.fine(0.9) * 0.004
    return Maps(np.clip(base + tone[..., None], 0, 1))


def kraft(noise: Noise, base: Field, dark: Field) -> Maps:
    """Unbleached paper: short fibres, darker and lighter, in every direction."""
    fibres = np.zeros((noise.size,) * 2, np.float32)
    for reach in ((0.12, 1.0), (1.0, 0.12), (0.3, 0.3)):
        fibres = fibres + ramp(noise.cloud(0.004, 1.5, reach), 1.9, 2.8)
    tone = 0.3 + 0.35 * np.clip(fibres, 0, 1) + 0.04 * noise.cloud(0.1, 1.8) + 0.05 * noise.fine(0.8)
    colour = blend(base, dark, np.clip(tone, 0, 1)) + (0.02 * ramp(noise.cloud(0.004, 1.5), 2.0, 2.8))[..., None]
    return Maps(np.clip(colour, 0, 1))


def leather(noise: Noise, base: Field, dark: Field) -> Maps:
    """Full-grain hide: low round pebbles of unequal size with fine creases between them, paler and shinier where it is worn,
    over broad clouds of the dye."""
    bend_x, bend_y = noise.cloud(0.05, 2.2) * 0.004, noise.cloud(0.05, 2.2) * 0.004
    dome, crease = np.zeros_like(bend_x), np.zeros_like(bend_x)
    for count, weight in ((5200, 0.65), (15000, 0.35)):
        distance, index = noise.cells(count, 2)
        size = noise.random.uniform(0.7, 1.3, count).astype(np.float32)[index]
        gap = warp((distance[..., 1] - distance[..., 0]) * size, bend_x, bend_y)
        dome += weight * np.sqrt(np.clip(gap, 0, 1))
        crease += weight * (1 - ramp(gap, 0.0, 0.22))
    dome = ndimage.gaussian_filter(dome, 1.6, mode="wrap")
    crease = ndimage.gaussian_filter(crease, 1.0, mode="wrap")
    dye = noise.cloud(0.3, 2.4)
    tone = 0.38 + 0.30 * crease + 0.13 * dye - 0.12 * dome + 0.015 * noise.fine(1.0)
    colour = blend(base, dark, np.clip(tone, 0, 1))
    relief = 0.0006 * dome + 0.0004 * noise.cloud(0.06, 2.6)
    roughness = np.clip(0.42 + 0.30 * crease - 0.10 * dome + 0.03 * dye, 0, 1)
    return Maps(np.clip(colour, 0, 1), roughness, relief.astype(np.float32))


def moss(noise: Noise, base: Field, dark: Field) -> Maps:
    """Cushions of short green pile."""
    distance, _ = noise.cells(420, 2)
    cushion = np.clip(1 - distance[..., 0], 0, 1)
    pile = noise.fine(1.1)
    tone = 0.5 - 0.35 * cushion + 0.14 * pile + 0.2 * noise.cloud(0.15, 1.8)
    colour = blend(base, dark, np.clip(tone, 0, 1))
    relief = 0.008 * cushion + 0.0009 * pile + 0.002 * noise.cloud(0.02, 1.6)
    return Maps(np.clip(colour, 0, 1), np.full_like(pile, 0.95), relief.astype(np.float32))


def citrus(noise: Noise, rind: Field, pulp: Field, segments: int = 10) -> Maps:
    """A slice, the rind at the rim: white pith, ten segments with round corners and thin walls, in each juice sacs like long
    drops that point to the middle. It does not wrap."""
    x, y = noise.grid()
    dx, dy = (x - 0.5) * 2, (y - 0.5) * 2
    r = np.hypot(dx, dy)
    turn = np.arctan2(dy, dx) / (2 * np.pi) * segments + 0.12 * noise.cloud(0.9, 3.4)
    aside = (0.5 - np.abs((turn % 1) - 0.5)) * 2 * np.pi / segments * r  # to the nearest wall
    inward = 0.845 + 0.012 * noise.cloud(0.5, 3.0) - r  # to the pith
    corner, core = 0.07, r - 0.085
    nearest = np.minimum(np.minimum(aside - 0.010, inward), core)
    rounded = corner - np.hypot(np.maximum(corner - (aside - 0.010), 0), np.maximum(corner - inward, 0))
    flesh = ramp(np.minimum(nearest, rounded).astype(np.float32), -0.004, 0.012)
    # Sacs: cells of a plane in which angle and the logarithm of the radius are the axes, drawn out along the radius.
    sac = np.round(segments * 4.6)
    across, along = turn / segments * sac, -np.log(np.clip(r, 0.05, 1)) * 2.6
    row = np.floor(across)
    shift = noise.random.random(int(4 * sac))[row.astype(int) % int(sac)]
    tip = ((along + shift) % 1).astype(np.float32)
    edge = np.minimum(np.abs(across - row), 1 - np.abs(across - row)) * 2
    wide = np.sin(np.pi * np.clip(tip, 0, 1) ** 0.7) ** 0.5
    body = ramp((edge - 0.95 * (1 - wide)).astype(np.float32), 0.0, 0.8)
    bright = noise.random.normal(0, 1, 997)[(row * 131 + np.floor(along + shift) * 17).astype(int) % 997]
    light = np.clip(0.30 + 0.30 * body + 0.11 * bright + 0.10 * noise.cloud(0.3, 2.4), 0, 1)
    juice = blend(rind, pulp, light.astype(np.float32))
    pith = np.broadcast_to(rind * 0.16 + 0.80, juice.shape)
    colour = blend(pith, juice, flesh)
    colour = blend(colour, np.broadcast_to(rind, colour.shape), ramp(r, 0.915, 0.965) * 0.999)
    rough = np.clip(0.16 + 0.5 * (1 - flesh), 0, 1)
    relief = 0.0018 * flesh * body + 0.0015 * (1 - flesh)
    return Maps(np.clip(colour, 0, 1), rough.astype(np.float32), relief.astype(np.float32))


def leaf(noise: Noise, base: Field, dark: Field) -> Maps:
    """A leaf, its stalk in the first row: midrib, side veins, a darker rim. It does not wrap."""
    x, y = noise.grid()
    side, along = np.abs(x - 0.5), y
    midrib = np.exp(-((side / 0.012) ** 2))
    ribs = np.abs(((along - 0.9 * side) * 11) % 1 - 0.5) * 2
    veins = np.maximum(midrib, 0.6 * np.exp(-((1 - ribs) / 0.10)) * ramp(0.5 - side, 0.02, 0.2))
    mottle = 0.5 * noise.cloud(0.15, 1.8) + 0.3 * noise.cloud(0.02, 1.4)
    tone = 0.2 + 0.16 * mottle + 0.5 * ramp(side, 0.25, 0.5) - 0.14 * (1 - ribs)
    colour = blend(base, dark, np.clip(tone, 0, 1).astype(np.float32)) + (0.10 * veins)[..., None]
    return Maps(np.clip(colour, 0, 1).astype(np.float32))


def petal(noise: Noise, base: Field, deep: Field) -> Maps:
    """A petal, its foot in the first row: deep there, paling outward, with the finest veins. It does not wrap."""
    x, y = noise.grid()
    fan = np.abs(((x - 0.5) / (0.25 + 0.75 * y) * 26 + 0.3 * noise.cloud(0.1, 2.4)) % 1 - 0.5)
    tone = 0.9 * (1 - ramp(y, 0.0, 0.34)) + 0.10 * fan + 0.06 * noise.cloud(0.2, 2.0)
    return Maps(np.clip(blend(base, deep, np.clip(tone, 0, 1).astype(np.float32)), 0, 1))
