"""Takes the shots: photographs of products whose alpha is known, because the renderer knows it.

python -m tests.runners.shots.shoot        # every shot of both splits, half an hour; the files are kept in the repository

The set is path-traced whole, so the contact shadow, the ground's bounced light and the product's reflection of the
ground are real. Coverage is rendered apart, through the same lens. Both are developed to display values at `SUPER` times the
size and averaged down there, so that the coverage is the alpha that compositing in display values wants.
"""

from __future__ import annotations

import io
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy import ndimage
from skimage import data

from pergai.cards.catalogue import load_catalogue
from pergai.runners.render import model
from pergai.runners.render.camera import aim
from pergai.runners.render.geometry import Mesh, sheet
from pergai.runners.render.materials import Paintbox, Surface, Texture, surface
from pergai.runners.render.spec import Finish
from pergai.runners.render.walls import sweep
from tests.runners.desk import WEIGHTS
from tests.runners.shots.products import HELD_OUT, TUNING, Parts

SUPER = 2
FOLDER = Path(__file__).parent
Floats = npt.NDArray[np.float32]
Sizes = tuple[tuple[int, int], tuple[int, int], tuple[int, int]]


@dataclass(frozen=True)
class Ground:
    """What stands behind: a sweep of paper or of a material, or a floor with a photograph far behind it."""

    colour: str = ""
    material: str = ""
    photo: str = ""
    exposure: float = 1.0
    fill: float = 0.5
    """Light from everywhere, against the key light."""
    vignette: float = 0.0
    noise: float = 1.2
    """Standard deviation in 1/255."""
    jpeg: int = 92


GROUNDS: dict[str, dict[str, Ground]] = {
    "tuning": {
        "white": Ground("#f4f4f2", exposure=1.12),
        "offwhite": Ground("#e9e8e4", exposure=1.0, vignette=0.12, jpeg=85),
        "grey": Ground("#9a9a9c", exposure=0.95, noise=2.0),
        "pink": Ground("#e9b9b4", exposure=1.0),
        "planks": Ground(material="planks"),
        "concrete": Ground(material="concrete", noise=2.0),
        "garage": Ground(colour="#77716b", photo="stereo_motorcycle"),
    },
    "held_out": {
        "white": Ground("#f6f6f6", exposure=0.97, fill=0.6, noise=1.0, jpeg=92),
        "lightgrey": Ground("#d9dadb", exposure=1.0, fill=0.45, vignette=0.1, jpeg=90),
        "grey": Ground("#8b8d91", exposure=0.95, noise=1.8, jpeg=92),
        "charcoal": Ground("#414144", exposure=0.95, noise=1.8, jpeg=92),
        "sage": Ground("#a9b89c", exposure=1.0, fill=0.4, jpeg=90),
        "sand": Ground("#e3cfae", exposure=1.0, vignette=0.08, jpeg=90),
        "travertine": Ground(material="travertine"),
        "wood": Ground(material="wood", fill=0.4),
        "asphalt": Ground(material="asphalt", noise=1.8, jpeg=90),
        "linen": Ground(material="linen", fill=0.6),
        "marble": Ground(material="marble", fill=0.6, jpeg=90),
        "denim": Ground(material="denim"),
        "launch": Ground(colour="#4f4a44", photo="rocket"),
        "cat": Ground(colour="#8d7f70", photo="chelsea"),
    },
}
SHOTS: dict[str, dict[str, tuple[str, ...]]] = {
    "tuning": {
        "mug": ("white", "garage"), "bowl": ("white", "planks"), "carton": ("offwhite", "concrete"),
        "pompom": ("grey", "planks"), "whisk": ("pink", "concrete"), "chair": ("grey", "planks"),
        "headphones": ("offwhite", "garage"), "gold_ring": ("white", "concrete"), "hoops": ("pink", "planks"),
        "amber": ("white", "garage"), "spray": ("offwhite", "concrete"), "plant": ("white", "garage"),
    },
    "held_out": {
        "bottle": ("white", "travertine", "sand"), "jar": ("white", "lightgrey"), "trainer": ("white", "asphalt", "grey"),
        "handbag": ("white", "wood", "sage"), "cup": ("white", "charcoal", "sand"),
        "bangle": ("white", "denim", "lightgrey", "sage"), "carafe": ("lightgrey", "marble", "white"),
        "toy_car": ("lightgrey", "linen", "white"), "watch": ("lightgrey", "white"), "armchair": ("grey", "launch", "white"),
        "perfume": ("grey", "white"), "parcel": ("charcoal", "white"), "sunglasses": ("sage", "white"),
        "rabbit": ("sage", "cat", "white"), "lantern": ("sand", "white"),
    },
}  # fmt: skip

SIZES: dict[str, Sizes] = {
    "tuning": ((420, 420), (384, 480), (500, 375)),
    "held_out": ((900, 900), (720, 900), (900, 675)),
}
"""Width and height of the shots: one of the three each."""

PITCH = {"bowl": 28.0, "carton": 18.0, "hoops": 8.0, "cup": 24.0, "trainer": 14.0, "toy_car": 20.0, "parcel": 16.0,
         "jar": 16.0, "sunglasses": 16.0, "watch": 20.0}  # fmt: skip
LENGTH = {"whisk": 0.62, "chair": 0.62, "toy_car": 0.58, "trainer": 0.6, "sunglasses": 0.62, "cup": 0.72}
"""Pixels of one unit, as a share of the picture's height; 0.66 where nothing is said."""
APERTURE = {"spray": 0.03, "plant": 0.02, "bottle": 0.02, "armchair": 0.015, "jar": 0.02}


def shoot(split: str, product: str, ground: str, sizes: Sizes, cache: Path) -> tuple[bytes, npt.NDArray[np.uint8]]:
    """The photograph as a JPEG, and the product's alpha, in one of the sizes."""
    seed = sum(map(ord, f"{split} {product} {ground}"))
    random = np.random.default_rng(seed)
    width, height = sizes[seed % 3]
    parts = {"tuning": TUNING, "held_out": HELD_OUT}[split][product](random)
    look = GROUNDS[split][ground]
    tall = product in ("whisk", "chair", "bottle", "rabbit", "carafe", "perfume", "lantern")
    if tall and width > height:
        width, height = height, width
    unit = LENGTH.get(product, 0.66) * min(width, height) * SUPER
    pitch = PITCH.get(product, 12.0)
    foot = 0.55 if pitch > 35 else 0.8
    centre = (round(width * SUPER * (0.5 + 0.03 * random.normal())), round(height * SUPER * foot))
    view = aim(width * SUPER, height * SUPER, centre, unit, pitch, 6.0)
    common = {"view": view, "aperture": APERTURE.get(product, 0.0), "seed": seed}
    stage = _stage(look, cache)
    lights = _lights(look, random)
    photo = model.Renderer("llvm", 2).run(
        [
            model.Take(
                solids=(*parts, *stage), emitters=lights, samples=max(6, 5400 // max(width, height)), depth=8, **common
            )
        ]
    )[0]
    alpha = _coverage(parts, common)
    picture = np.clip(photo.colour * look.exposure, 0.0, None)
    picture = np.where(picture < 0.0031308, 12.92 * picture, 1.055 * picture ** (1 / 2.4) - 0.055)
    picture, alpha = _averaged(np.clip(picture, 0, 1)), _averaged(alpha)
    picture = ndimage.gaussian_filter(picture, (0.5, 0.5, 0))
    alpha = ndimage.gaussian_filter(alpha, 0.5)
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    picture = picture * (1.0 - look.vignette * (x * x + y * y) / 2)[..., None]
    picture = picture + random.normal(0.0, look.noise / 255.0, picture.shape)
    body = io.BytesIO()
    Image.fromarray(np.round(np.clip(picture, 0, 1) * 255).astype(np.uint8)).save(body, "JPEG", quality=look.jpeg)
    return body.getvalue(), np.round(np.clip(alpha, 0, 1) * 255).astype(np.uint8)


def _averaged(planes: Floats) -> Floats:
    height, width = planes.shape[0] // SUPER, planes.shape[1] // SUPER
    blocks = planes.reshape(height, SUPER, width, SUPER, *planes.shape[2:])
    return np.asarray(blocks.mean(axis=(1, 3)), np.float32)


def _coverage(parts: Parts, common: dict[str, Any]) -> Floats:
    """The product's alpha: what is solid by its coverage, glass by the light that it does not let through."""
    chalk = Surface({"type": "diffuse", "reflectance": {"type": "rgb", "value": 1.0}})
    soot = Surface({"type": "twosided", "bsdf": {"type": "diffuse", "reflectance": {"type": "rgb", "value": 0.0}}})
    daylight: tuple[dict[str, Any], ...] = ({"type": "constant", "radiance": {"type": "rgb", "value": 1.0}},)
    if not any(part.bsdf["type"] == "thindielectric" for _, part in parts):
        solids = tuple((mesh, chalk) for mesh, _ in parts)
        if not common["aperture"]:
            survey = model.Survey(view=common["view"], solids=solids, seed=common["seed"])
            return model.Renderer("llvm", 14).run([survey])[0].albedo[..., 0]
        take = model.Take(solids=solids, emitters=daylight, samples=1, depth=2, **common)
        return model.Renderer("llvm", 14).run([take])[0].albedo[..., 0]
    black = {"specular_reflectance": {"type": "rgb", "value": 0.0}}
    solids = tuple(
        (mesh, Surface({**part.bsdf, **black}) if part.bsdf["type"] == "thindielectric" else soot)
        for mesh, part in parts
    )
    take = model.Take(solids=solids, emitters=daylight, samples=40, depth=10, **common)
    return np.asarray(1.0 - model.Renderer("llvm", 2).run([take])[0].colour.mean(axis=-1), np.float32)


def _stage(look: Ground, cache: Path) -> tuple[tuple[Mesh, Surface], ...]:
    if look.material:
        paper = surface(Finish(material=look.material, scale=0.6), Paintbox(cache))  # type: ignore[arg-type]
    else:
        r, g, b = (int(look.colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
        paper = Surface({"type": "diffuse", "reflectance": {"type": "rgb", "value": [r**2.2, g**2.2, b**2.2]}})
    if not look.photo:
        return ((sweep(-14.0, 3.5, 1.5, 9.0, 40.0), paper),)
    picture = getattr(data, look.photo)()
    picture = np.asarray(picture[0] if isinstance(picture, tuple) else picture)
    picture = np.round(ndimage.gaussian_filter(picture.astype(float), (2, 2, 0))).astype(np.uint8)
    high = 6.5
    wide = high * picture.shape[1] / picture.shape[0]
    corners = np.array([[[-wide / 2, 3.0, 0.2], [wide / 2, 3.0, 0.2]], [[-wide / 2, 3.0, high], [wide / 2, 3.0, high]]])
    wall = sheet(corners, np.array([[[0, 0], [1, 0]], [[0, 1], [1, 1]]]), smooth=False)
    paint = {"type": "diffuse", "reflectance": {"type": "bitmap", "bitmap": Texture(picture)}}
    printed = Surface({"type": "twosided", "bsdf": paint})
    return ((sweep(-14.0, 60.0, 1.0, 2.0, 60.0), paper), (wall, printed))


def _lights(look: Ground, random: np.random.Generator) -> tuple[dict[str, Any], ...]:
    """A soft box at one side above, a card at the other, and light from everywhere."""
    side = random.choice([-1.0, 1.0])
    origin = np.array([side * random.uniform(2.5, 4.5), -random.uniform(2.5, 4.5), random.uniform(3.5, 5.5)])
    size = random.uniform(0.6, 1.6)
    power = 0.75 * np.pi * float(origin @ origin) / (4 * size * size)
    box = {
        "type": "rectangle",
        "to_world": ("facing", origin.tolist(), [0.0, 0.0, 0.4], (size, size)),
        "emitter": {"type": "area", "radiance": {"type": "rgb", "value": [power, power, 0.97 * power]}},
    }
    return (box, {"type": "constant", "radiance": {"type": "rgb", "value": [look.fill] * 3}})


def main() -> None:
    model.load(load_catalogue().models["mitsuba"], WEIGHTS / "mitsuba", "cpu")  # finds LLVM
    with tempfile.TemporaryDirectory() as cache:
        for split, products in SHOTS.items():
            (FOLDER / split).mkdir(exist_ok=True)
            for product, grounds in products.items():
                for ground in grounds:
                    name = f"{product}-{ground}"
                    if sys.argv[1:] and not any(word in f"{split}/{name}" for word in sys.argv[1:]):
                        continue
                    photo, alpha = shoot(split, product, ground, SIZES[split], Path(cache))
                    (FOLDER / split / f"{name}.jpg").write_bytes(photo)
                    Image.fromarray(alpha).save(FOLDER / split / f"{name}.png", optimize=True)
                    sys.stdout.write(f"{split} {name}\n")
                    sys.stdout.flush()


if __name__ == "__main__":
    main()
