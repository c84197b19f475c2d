"""Painters of textures. What is woven: linen, velvet, silk, denim, gingham."""

from __future__ import annotations

import numpy as np

from pergai.runners.render.noise import Field, Maps, Noise, blend


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
    """Short pile: almost even, lighter and darker where it was stroked, the tips of the pile just to be seen. No relief: its
    hairs are finer than any pixel, and what they do to the light is the material's sheen."""
    stroked = noise.cloud(0.25, 2.6, (0.5, 1.2))
    pile = noise.fine(1.8)
    colour = blend(base, dark, np.clip(0.4 + 0.04 * stroked + 0.05 * pile, 0, 1))
    return Maps(np.clip(colour, 0, 1))


def silk(noise: Noise, base: Field, dark: Field) -> Maps:
    """Satin: threads too fine to be seen, here and there one a little thicker."""
    thread = noise.cloud(0.004, 1.2, (0.02, 2.0))
    colour = blend(base, dark, np.clip(0.1 + 0.03 * thread, 0, 1))
    return Maps(np.clip(colour, 0, 1))


def denim(noise: Noise, base: Field, pale: Field) -> Maps:
    """Three-to-one twill: ribs of dyed warp run up to the right, white weft shows between them; yarn of uneven thickness, dyed
    unevenly along it."""
    x, y = noise.grid()
    threads = 208
    drift = noise.cloud(0.2, 2.4) * 0.0005
    u, v = (x + drift) * threads, (y + drift) * threads
    warp_thread, weft_thread = np.floor(u).astype(int) % threads, np.floor(v).astype(int) % threads
    weft_shows = (warp_thread + weft_thread) % 4 == 0
    round_u, round_v = np.sin(np.pi * (u % 1)).astype(np.float32), np.sin(np.pi * (v % 1)).astype(np.float32)
    rib = (0.5 + 0.5 * np.cos(2 * np.pi * (u + v - 3) / 4)).astype(np.float32)
    yarn = 0.07 * noise.random.normal(0, 1, threads)[warp_thread] + 0.06 * noise.cloud(0.03, 1.4, (4.0, 0.06))
    dyed = 0.16 + 0.10 * (1 - round_u) + yarn + 0.03 * noise.cloud(0.3, 2.0) + 0.03 * noise.fine(1.0)
    tone = np.where(weft_shows, 0.34 + 0.26 * round_v, dyed)
    lift = np.where(weft_shows, 0.3 * round_v, round_u * (0.4 + 0.6 * rib))
    colour = blend(base, pale, np.clip(tone, 0, 1).astype(np.float32))
    return Maps(np.clip(colour, 0, 1), np.full_like(rib, 0.9), (0.0009 * lift).astype(np.float32))


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
