"""Composites whose alpha is known: procedural products over plain and textured grounds, with photo noise.

Products are drawn at `SUPER` times the size and averaged down, so strands and wires thinner than a pixel have their true
coverage.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw
from scipy import ndimage
from skimage import data

from pergai.engine.core import Model
from pergai.imaging.closer_look import closer_box, with_closer_look
from pergai.imaging.picture import RGB, FloatPlane

SIZE = 448
SUPER = 4

Plane = npt.NDArray[np.float32]
Colours = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Product:
    """Straight colours (height, width, 3) in 0-1 and the true alpha (height, width)."""

    colours: Colours
    alpha: Plane


@dataclass(frozen=True)
class Case:
    name: str
    plain: bool
    image: npt.NDArray[np.uint8]
    alpha: Plane
    """The truth."""
    colours: Colours
    """The product's true colours, 0-1; meaningful where alpha is above 0."""


# --- drawing ---------------------------------------------------------------------------------------


class Canvas:
    """Premultiplied colours and alpha at SUPER times the size; `product()` averages them down."""

    def __init__(self, size: int = SIZE) -> None:
        self.side = size * SUPER
        self.premultiplied = np.zeros((self.side, self.side, 3), dtype=np.float32)
        self.alpha = np.zeros((self.side, self.side), dtype=np.float32)
        grid = (np.arange(self.side, dtype=np.float32) + 0.5) / self.side
        self.x, self.y = np.meshgrid(grid, grid)

    def lay(self, coverage: Plane, colours: Colours | tuple[float, float, float]) -> None:
        """Put something over what is there."""
        paint = np.asarray(colours, dtype=np.float32) * coverage[..., None]
        self.premultiplied = paint + (1.0 - coverage[..., None]) * self.premultiplied
        self.alpha = coverage + (1.0 - coverage) * self.alpha

    def lines(self, strokes: list[tuple[list[tuple[float, float]], float]]) -> Plane:
        """Coverage of polylines in 0-1 coordinates, each with its width in final pixels."""
        sheet = Image.new("L", (self.side, self.side))
        pen = ImageDraw.Draw(sheet)
        for points, width in strokes:
            pen.line([(x * self.side, y * self.side) for x, y in points], fill=255, width=max(1, round(width * SUPER)))
        return np.asarray(sheet, dtype=np.float32) / 255.0

    def product(self) -> Product:
        size = self.side // SUPER
        alpha = self.alpha.reshape(size, SUPER, size, SUPER).mean(axis=(1, 3))
        colours = self.premultiplied.reshape(size, SUPER, size, SUPER, 3).mean(axis=(1, 3))
        return Product(colours / np.maximum(alpha, 1e-4)[..., None], alpha)


def _shaded(canvas: Canvas, x: float, y: float, radius: float, colour: tuple[float, float, float]) -> Colours:
    """A colour lit from the upper left, as on a ball around (x, y)."""
    dx, dy = (canvas.x - x) / radius, (canvas.y - y) / radius
    height = np.sqrt(np.clip(1.0 - dx * dx - dy * dy, 0.0, 1.0))
    light = np.clip(0.35 + 0.65 * (0.6 * height - 0.45 * dx - 0.55 * dy), 0.15, 1.1)
    return np.clip(light[..., None] * np.array(colour, dtype=np.float32), 0.0, 1.0).astype(np.float32)


# --- products --------------------------------------------------------------------------------------


def fur(rng: np.random.Generator) -> Product:
    """A plush ball whose outline is 900 tapering strands, most of them thinner than a pixel."""
    canvas = Canvas()
    body = (np.hypot(canvas.x - 0.5, canvas.y - 0.53) < 0.25).astype(np.float32)
    for share in (0.55, 0.75, 1.0):
        strokes = []
        for _ in range(300):
            angle = rng.uniform(0, 2 * math.pi)
            bend = rng.normal(0, 0.35)
            length = rng.uniform(0.03, 0.1)
            points = []
            for step in range(6):
                reach = 0.235 + (0.015 + length) * step / 5
                turn = angle + bend * (step / 5) ** 2 * 0.4
                points.append((0.5 + reach * math.cos(turn), 0.53 + reach * math.sin(turn)))
            strokes.append((points, rng.uniform(0.3, 1.3)))
        tint = tuple(float(c) * share for c in (0.62, 0.36, 0.18))
        canvas.lay(canvas.lines(strokes), tint)  # type: ignore[arg-type]
    canvas.lay(body, _shaded(canvas, 0.5, 0.53, 0.3, (0.66, 0.4, 0.2)))
    return canvas.product()


def wires(rng: np.random.Generator) -> Product:
    """A dark adapter with looping cables of 1 to 2.5 pixels."""
    canvas = Canvas()
    strokes = []
    for index in range(4):
        points = []
        for step in range(60):
            t = step / 59
            swing = 0.09 * math.sin(t * 9 + index)
            points.append((0.42 + 0.06 * index + swing * t, 0.6 - 0.5 * t + 0.03 * math.sin(13 * t + 2 * index)))
        strokes.append((points, (1.0, 1.4, 2.0, 2.5)[index]))
    canvas.lay(canvas.lines(strokes[:2]), (0.08, 0.08, 0.09))
    canvas.lay(canvas.lines(strokes[2:]), (0.7, 0.1, 0.08))
    inside = (np.abs(canvas.x - 0.5) < 0.2) & (np.abs(canvas.y - 0.7) < 0.13)
    canvas.lay(inside.astype(np.float32), _shaded(canvas, 0.45, 0.65, 0.35, (0.16, 0.17, 0.2)))
    return canvas.product()


def ring(rng: np.random.Generator) -> Product:
    """A gold ring seen from the front: the ground shows through its hole."""
    canvas = Canvas()
    far = np.hypot(canvas.x - 0.5, (canvas.y - 0.55) / 1.05)
    band = ((far < 0.28) & (far > 0.21)).astype(np.float32)
    across = (far - 0.245) / 0.035
    angle = np.arctan2(canvas.y - 0.55, canvas.x - 0.5)
    light = np.clip(0.55 + 0.3 * np.cos(angle * 3 + 1) - 0.35 * across**2 + 0.2 * np.cos(angle - 4), 0.12, 1.0)
    canvas.lay(band, (light[..., None] * np.array([0.95, 0.72, 0.3])).astype(np.float32))
    stone = (np.abs(canvas.x - 0.5) + np.abs(canvas.y - 0.25) < 0.08).astype(np.float32)
    canvas.lay(stone, _shaded(canvas, 0.48, 0.23, 0.12, (0.25, 0.35, 0.8)))
    return canvas.product()


def glass(rng: np.random.Generator) -> Product:
    """A bottle of green glass: half clear inside, denser at the rim, with solid highlights, label and cap."""
    return _bottle((0.1, 0.44, 0.2))


def dark_glass(rng: np.random.Generator) -> Product:
    """The same in glass so dark that it could as well be a shaded solid: nothing in one photo tells them apart."""
    return _bottle((0.05, 0.22, 0.12))


def _bottle(tint: tuple[float, float, float]) -> Product:
    canvas = Canvas()
    half = np.where(canvas.y < 0.35, 0.06 + 0.1 * np.clip((canvas.y - 0.25) / 0.1, 0, 1), 0.16)
    depth = (half - np.abs(canvas.x - 0.5)) / 0.16
    inside = (depth > 0) & (canvas.y > 0.18) & (canvas.y < 0.86)
    density = np.where(inside, np.clip(0.95 - 2.2 * depth, 0.4, 0.95), 0.0).astype(np.float32)
    canvas.lay(density, tint)
    gleam = inside & (np.abs(canvas.x - 0.42) < 0.012) & (canvas.y > 0.4) & (canvas.y < 0.75)
    canvas.lay(ndimage.gaussian_filter(gleam.astype(np.float32), 6), (0.97, 0.98, 0.97))
    label = (np.abs(canvas.x - 0.5) < 0.135) & (np.abs(canvas.y - 0.62) < 0.1)
    canvas.lay(label.astype(np.float32), _shaded(canvas, 0.45, 0.6, 0.5, (0.93, 0.85, 0.7)))
    cap = (np.abs(canvas.x - 0.5) < 0.065) & (np.abs(canvas.y - 0.16) < 0.05)
    canvas.lay(cap.astype(np.float32), _shaded(canvas, 0.48, 0.14, 0.12, (0.7, 0.12, 0.1)))
    return canvas.product()


def soft(rng: np.random.Generator) -> Product:
    """A vase out of focus at its edge: alpha ramps over a dozen pixels."""
    canvas = Canvas()
    half = 0.1 + 0.09 * np.sin(np.clip((canvas.y - 0.15) / 0.7, 0, 1) * math.pi) ** 2
    shape = ((np.abs(canvas.x - 0.5) < half) & (canvas.y > 0.15) & (canvas.y < 0.85)).astype(np.float32)
    canvas.lay(ndimage.gaussian_filter(shape, 3.0 * SUPER), _shaded(canvas, 0.46, 0.45, 0.5, (0.2, 0.42, 0.68)))
    return canvas.product()


def mug(rng: np.random.Generator) -> Product:
    """A plain solid thing with a handle to see through."""
    canvas = Canvas()
    body = (np.abs(canvas.x - 0.45) < 0.19) & (np.abs(canvas.y - 0.55) < 0.23)
    far = np.hypot((canvas.x - 0.64) / 0.8, canvas.y - 0.55)
    handle = (far < 0.17) & (far > 0.115) & (canvas.x > 0.62)
    canvas.lay(handle.astype(np.float32), _shaded(canvas, 0.64, 0.5, 0.25, (0.75, 0.2, 0.15)))
    canvas.lay(body.astype(np.float32), _shaded(canvas, 0.38, 0.5, 0.4, (0.8, 0.22, 0.16)))
    return canvas.product()


def white_mug() -> Product:
    """A white cylinder whose lit side is as bright as a white backdrop."""
    canvas = Canvas()
    body = (np.abs(canvas.x - 0.45) < 0.19) & (np.abs(canvas.y - 0.55) < 0.23)
    light = np.clip(0.97 - 0.25 * ((canvas.x - 0.4) / 0.2) ** 2 * np.clip(np.sign(canvas.x - 0.3), 0.2, 1), 0.55, 0.985)
    colours = (light[..., None] * np.array([0.99, 0.985, 0.975])).astype(np.float32)
    far = np.hypot((canvas.x - 0.64) / 0.8, canvas.y - 0.55)
    handle = (far < 0.17) & (far > 0.115) & (canvas.x > 0.62)
    canvas.lay(handle.astype(np.float32), colours * np.float32(0.93))
    canvas.lay(body.astype(np.float32), colours)
    return canvas.product()


PRODUCTS: dict[str, Callable[[np.random.Generator], Product]] = {
    "fur": fur,
    "wires": wires,
    "ring": ring,
    "glass": glass,
    "dark glass": dark_glass,
    "soft": soft,
    "mug": mug,
}


# --- grounds ---------------------------------------------------------------------------------------


def _grid() -> tuple[Plane, Plane]:
    line = np.linspace(0, 1, SIZE, dtype=np.float32)
    x, y = np.meshgrid(line, line)
    return x, y


def white() -> Colours:
    """A white sweep with a little fall-off towards the corners."""
    x, y = _grid()
    level = 0.965 - 0.09 * ((x - 0.5) ** 2 + (y - 0.45) ** 2)
    return (level[..., None] * np.array([1.0, 0.995, 0.985])).astype(np.float32)


def grey() -> Colours:
    """A grey gradient, lighter at the bottom."""
    _, y = _grid()
    return ((0.42 + 0.3 * y)[..., None] * np.array([0.98, 1.0, 1.03])).astype(np.float32)


def green() -> Colours:
    x, y = _grid()
    level = 0.9 + 0.1 * x - 0.08 * y
    return (level[..., None] * np.array([0.25, 0.72, 0.3])).astype(np.float32)


def _texture(name: str, tint: tuple[float, float, float]) -> Colours:
    picture = Image.fromarray(getattr(data, name)()).resize((SIZE, SIZE), Image.Resampling.LANCZOS)
    return (np.asarray(picture, dtype=np.float32)[..., None] / 255.0 * np.array(tint, dtype=np.float32)).astype(
        np.float32
    )


PLAIN: dict[str, Callable[[], Colours]] = {"white": white, "grey": grey, "green": green}
TEXTURED: dict[str, Callable[[], Colours]] = {
    "brick": lambda: _texture("brick", (1.0, 0.75, 0.62)),
    "grass": lambda: _texture("grass", (0.62, 0.95, 0.42)),
    "gravel": lambda: _texture("gravel", (1.0, 0.96, 0.9)),
}


def shadowed(ground: Colours, product: Product, strength: float = 0.35) -> Colours:
    """The ground with the product's soft cast shadow on it, to the lower right and touching its foot."""
    cast = ndimage.shift(product.alpha, (12, 16), order=1)
    cast = 0.6 * ndimage.gaussian_filter(cast, 12) + 0.4 * ndimage.gaussian_filter(cast, 4)
    return ground * (1.0 - strength * cast)[..., None]


# --- composites ------------------------------------------------------------------------------------


def composite(product: Product, ground: Colours, seed: int, noise: float = 1.8) -> npt.NDArray[np.uint8]:
    """A photo of the product on the ground; `noise` is its standard deviation in 1/255."""
    alpha = product.alpha[..., None]
    mixed = alpha * product.colours + (1.0 - alpha) * ground
    grain = np.random.default_rng(seed).normal(0.0, noise / 255.0, mixed.shape)
    return np.round(np.clip(mixed + grain, 0.0, 1.0) * 255.0).astype(np.uint8)


@cache
def _product(name: str) -> Product:
    return PRODUCTS[name](np.random.default_rng(list(PRODUCTS).index(name)))


def case(product: str, ground: str) -> Case:
    """One product over one ground; on a plain one it casts a soft shadow."""
    thing = _product(product)
    plain = ground in PLAIN
    behind = shadowed(PLAIN[ground](), thing) if plain else TEXTURED[ground]()
    image = composite(thing, behind, seed=list(PRODUCTS).index(product))
    return Case(f"{product} on {ground}", plain, image, thing.alpha, thing.colours)


# --- cut-outs ---------------------------------------------------------------------------------------


def mask_of(net: Model, image: RGB) -> FloatPlane:
    """The net's mask by both of its looks, as `cut_out` takes them."""
    (look,) = net.run([image])
    box = closer_box(look)
    return look.mask if box is None else with_closer_look(look.mask, net.run([box.of(image)])[0].mask, box)


# --- errors ----------------------------------------------------------------------------------------


def sad(alpha: Plane, truth: Plane) -> float:
    """Sum of absolute differences, in thousands, as alphamatting.com counts it."""
    return float(np.abs(alpha - truth).sum() / 1000.0)


def mse(alpha: Plane, truth: Plane) -> float:
    return float(((alpha - truth) ** 2).mean())


def gradient_error(alpha: Plane, truth: Plane, sigma: float = 1.4) -> float:
    """Summed squared difference of gradient magnitudes, in thousands (Rhemann et al., "A perceptually motivated online
    benchmark for image matting", CVPR 2009)."""
    ours = ndimage.gaussian_gradient_magnitude(alpha.astype(np.float64), sigma)
    theirs = ndimage.gaussian_gradient_magnitude(truth.astype(np.float64), sigma)
    return float(((ours - theirs) ** 2).sum() / 1000.0)
