"""From light to a photograph: metering, tone curve, bokeh, grain. Of the set only; the product is never touched."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from pergai.imaging.composite import continue_behind
from pergai.imaging.picture import RGB, Alpha
from pergai.imaging.planes import largest
from pergai.runners.render.camera import View
from pergai.runners.render.colour import LUMINANCE, from_linear, linear
from pergai.runners.render.neighbourhood import at_full_size, in_cells
from pergai.runners.render.spec import Bokeh, Look, PhotoSet

Floats = npt.NDArray[np.float32]

WHITE = 0.86
"""Where a correctly lit white surface lands, in linear light, before the tone curve."""
SOURCE = 2.0
"""How many times brighter than the paper of a print something is that shines itself."""
GLARE_REACH = (0.012, 0.06)
"""Deviations of the light round a source, in the picture's longer side."""
AROUND = 64
"""Pixels round a product in which its photo's grain is looked for."""
CLIPPED = 8
"""From black or white: a grain there is cut off."""
FAINTEST_SHADOW = 5 / 255
"""A shadow on white is somewhere at least this dark."""


def tone(colour: Floats, look: Look, white: float) -> Floats:
    """Linear light to sRGB 0-1: exposure for a white of level `white`, then a curve that keeps colours true and rolls
    highlights off (Khronos PBR Neutral, 2024), contrast round middle grey, saturation."""
    exposed = colour * (WHITE * 2.0**look.exposure / white)
    grey = (exposed @ LUMINANCE)[..., None]
    exposed = np.maximum(grey + (exposed - grey) * look.saturation, 0)
    picture = from_linear(_neutral(exposed))
    if look.contrast:
        curve = picture * picture * (3 - 2 * picture)
        picture = picture + (curve - picture) * look.contrast
    return np.clip(picture, 0, 1).astype(np.float32)


def _neutral(colour: Floats, start: float = 0.8, desaturation: float = 0.15) -> Floats:
    """Khronos PBR Neutral without its offset for specular haze: our matt papers have none, and it would oversaturate."""
    peaks = largest(colour)
    bright = peaks >= start
    picture, peak = colour.astype(np.float32), peaks[bright][:, None]
    room = 1.0 - start
    pressed = 1.0 - room * room / (peak + room - start)
    share = 1.0 - 1.0 / (desaturation * (peak - pressed) + 1.0)
    picture[bright] = colour[bright] * (pressed / peak) * (1 - share) + pressed * share
    return picture


def seamless(colour: Floats, albedo: Floats, product: npt.NDArray[np.bool_]) -> Floats:
    """Pure white with shadows: light against that of the evenly lit floor, exactly 1.0 wherever hardly any is missing,
    beyond the horizon, and far from the product."""
    own = np.asarray(albedo @ LUMINANCE)  # the paper has a grain: no floor ends at it, and it is no shadow
    even = ndimage.gaussian_filter(own, 2.0)
    floor = even > 0.97 * max(float(np.percentile(even, 90)), 1e-3)
    floor = np.asarray(ndimage.binary_erosion(floor, iterations=4, border_value=1))  # the horizon is ragged
    light = colour @ LUMINANCE / np.maximum(own, 1e-3)
    white = float(np.percentile(light[floor], 70)) if floor.any() else 1.0
    ratio = np.where(floor, np.clip(light / max(white, 1e-6), 0, 1), 1.0)
    missing = np.clip((1 - ratio - 0.025) / 0.975, 0, 1)
    missing = missing * np.clip(missing / 0.06, 0, 1) ** 0.5
    if product.any():
        reach = 0.32 * max(product.shape)
        distance = ndimage.distance_transform_edt(~product)
        missing = missing * np.clip(1.6 - 1.6 * distance / reach, 0, 1)
    missing = missing * _inset(missing.shape, 0.06)
    shade = _without_specks(from_linear(1 - missing), product)
    return np.repeat(shade[..., None], 3, axis=-1).astype(np.float32)


def _without_specks(shade: Floats, product: npt.NDArray[np.bool_]) -> Floats:
    """White wherever what is grey hangs together with nothing that an eye would call a shadow: it is left over noise. What
    the product hides is continued from what remains."""
    parts, count = ndimage.label((shade < 1 - 0.5 / 255) & ~product)
    if not count:
        return shade
    darkest = np.asarray(ndimage.minimum(shade, parts, np.arange(1, count + 1)))
    speck = np.concatenate([[False], darkest > 1 - FAINTEST_SHADOW])
    return continue_behind(np.where(speck[parts], 1, shade).astype(np.float32)[..., None], product)[..., 0]


def _inset(shape: tuple[int, ...], share: float) -> Floats:
    """0 at the border of a picture, 1 from `share` of its shorter side inwards."""
    height, width = shape[:2]
    y, x = np.arange(height), np.arange(width)
    near = np.minimum(np.minimum(y, height - 1 - y)[:, None], np.minimum(x, width - 1 - x)[None])
    return np.clip(near / (share * min(height, width)), 0, 1).astype(np.float32)


def bokeh_band(photo_set: PhotoSet, view: View) -> tuple[float, float]:
    """Between which heights the middles of points of light far behind the product lie, 0 top - 1 bottom."""
    bokeh = photo_set.bokeh
    if not bokeh.skyline:
        return -0.05, bokeh.lowest
    rise = float(np.tan(np.radians(view.pitch + bokeh.skyline)))
    highest = max((view.centre[1] - view.focal * rise) / view.height, -0.05)
    edge = float(view.project((0.0, photo_set.floor.depth, 0.0))[1]) / view.height
    return highest, max(edge - bokeh.size, highest)


def with_bokeh(
    colour: Floats, bokeh: Bokeh, level: float, random: np.random.Generator, band: tuple[float, float]
) -> Floats:
    """Discs of light far out of focus, added to linear light. `level` is the light of a white surface; `band` as of
    `bokeh_band`."""
    if not bokeh.count:
        return colour
    height, width = colour.shape[:2]
    out = colour.copy()
    for _ in range(bokeh.count):
        radius = bokeh.size * height * float(random.uniform(0.55, 1.25))
        x, y = float(random.uniform(-0.05, 1.05)) * width, float(random.uniform(*band)) * height
        rgb = np.asarray(linear(bokeh.colours[int(random.integers(len(bokeh.colours)))]), np.float32)
        power = bokeh.power * level * float(random.uniform(0.12, 0.75)) * (1 - 0.5 * max(y / height, 0) / band[1])
        x0, x1 = max(int(x - radius - 3), 0), min(int(x + radius + 4), width)
        y0, y1 = max(int(y - radius - 3), 0), min(int(y + radius + 4), height)
        if x0 >= x1 or y0 >= y1:
            continue
        gy, gx = np.mgrid[y0:y1, x0:x1]
        r = np.hypot(gx - x, gy - y)
        soft = max(radius * 0.06, 1.0)
        disc = np.clip((radius - r) / soft + 0.5, 0, 1) * (0.72 + 0.28 * (r / radius) ** 3)
        out[y0:y1, x0:x1] += (power * disc)[..., None].astype(np.float32) * rgb
    return out


def with_glare(colour: Floats, look: Look, white: float) -> Floats:
    """Linear light through a lens that spreads `look.glare` of a source's own: half of it near, half of it far round a flame, a
    tube or their mirror images. `white` is the level of a white surface."""
    excess = np.maximum(colour - SOURCE * white / (WHITE * 2.0**look.exposure), 0)
    if not look.glare or not excess.any():
        return colour
    cells = in_cells(excess)
    across = max(cells.shape[:2])
    spread = sum(ndimage.gaussian_filter(cells, (reach * across, reach * across, 0)) for reach in GLARE_REACH)
    return colour + np.float32(look.glare / len(GLARE_REACH)) * at_full_size(
        np.asarray(spread, np.float32), colour.shape
    )


def source_noise(source: RGB, alpha: Alpha) -> float:
    """The source's own grain, as a deviation in 1/255 (robust: Immerkær 1996 with a median): that of the product, or of what is
    round it where that is less, for fur and fabric are no grain. What is clipped or painted shows none and tells nothing."""
    near = ndimage.find_objects((alpha == 255).view(np.uint8))  # of a large photo the product may be a small part
    if not near:
        return 1.0
    wide = tuple(slice(max(along.start - AROUND, 0), along.stop + AROUND) for along in near[0])
    luma = source[wide].astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)
    kernel = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)
    response = np.abs(ndimage.convolve(luma, kernel, mode="nearest"))
    exposed = (luma > CLIPPED) & (luma < 255 - CLIPPED)
    inside = response[ndimage.binary_erosion(alpha[wide] == 255, iterations=2)]
    outside = response[ndimage.binary_erosion(alpha[wide] == 0, iterations=4) & exposed]
    found = [float(np.median(part) / 0.6745 / 6.0) for part in (inside, outside) if part.size > 500]
    return min((noise for noise in found if noise), default=found[0] if found else 1.0)


def grained(picture: Floats, deviation: float, random: np.random.Generator) -> Floats:
    """Fine grain of a deviation in 1/255, weaker in deep shadows and in highlights. Also dithers away banding."""
    noise = random.standard_normal(picture.shape[:2], dtype=np.float32)
    coarse = ndimage.gaussian_filter(noise, 0.7)
    luma = picture @ np.array([0.299, 0.587, 0.114], np.float32)
    strength = (0.45 + 0.55 * np.clip(4 * luma * (1 - luma), 0, 1)) * deviation / 255
    return np.asarray(picture + ((0.5 * noise + 0.5 * coarse / 0.4) * strength)[..., None], np.float32)


def vignetted(picture: Floats, amount: float) -> Floats:
    if not amount:
        return picture
    height, width = picture.shape[:2]
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    return np.asarray(picture * (1 - amount * np.clip((x * x + y * y) / 2, 0, 1) ** 1.4)[..., None], np.float32)


def to_bytes(picture: Floats) -> RGB:
    return np.clip(np.rint(picture * 255), 0, 255).astype(np.uint8)
