"""Light: what keeps its noise small, and what takes the rest away without touching its colour."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from scipy import ndimage

from benchmarks.render import product
from pergai.cards.catalogue import load_catalogue
from pergai.engine.core import SceneParams
from pergai.runners.render import camera, geometry, lights, model, shoot, translate
from pergai.runners.render.denoise import Guide, denoise, without_fireflies
from pergai.runners.render.focus import evened
from pergai.runners.render.materials import Paintbox, Surface, Texture, surface
from pergai.runners.render.relief import shading
from pergai.runners.render.slopes import bump, reliefs
from pergai.runners.render.spec import Ambient, Finish, Light, check
from pergai.runners.render.subject import Photo, stood
from pergai.runners.render.trace import MOST_LIGHT, mean_colour_relief_and_blur, mean_light
from pergai.runners.render.translate import coloured, lit, sensor
from pergai.runners.render.variants import VARIANTS
from tests.runners.desk import real_model

SIZE = 32
KEY = lights.lamp(Light(power=1.0, size=(1.0, 1.0)))
FEEBLE = tuple(lights.lamp(Light(power=0.01, azimuth=30.0 * k, size=(1.0, 1.0))) for k in range(5))


@pytest.fixture(scope="module")
def take(tmp_path_factory: pytest.TempPathFactory) -> model.Take:
    """Grey paper on the ground under one lamp."""
    return model.Take(
        view=camera.aim(SIZE, SIZE, (SIZE // 2, SIZE // 2), SIZE / 3, 40.0, 5.0),
        aperture=0.0,
        solids=((geometry.ground((-9, 9), (-9, 9)), surface(Finish(), Paintbox(tmp_path_factory.mktemp("cache")))),),
        emitters=(KEY,),
        samples=4,
        depth=3,
        seed=1,
    )


def undenoised(take: model.Take) -> npt.NDArray[np.float32]:
    import mitsuba as mi

    mi.set_variant(VARIANTS[real_model(model.load, "mitsuba").variant])
    scene = lit(mi, take.view, take.aperture, take.solids, take.emitters, {})
    film = mi.load_dict(sensor(mi, take.view, take.aperture))
    return mean_light(mi, scene, take.depth, take.samples, take.seed, film).mean()


def noise(take: model.Take) -> float:
    """Of light before it is denoised: between pictures that differ in nothing else, against their level."""
    looks = np.stack([undenoised(replace(take, seed=seed)) for seed in range(4)])
    return float(looks.std(axis=0).mean() / looks.mean())


def test_feeble_lamps_cost_no_noise(take: model.Take) -> None:
    """A path asks one lamp. Where all six are asked as often, five paths of six come back with next to nothing."""
    assert noise(replace(take, emitters=(KEY, *FEEBLE))) < 0.15


def test_the_sky_costs_no_noise(take: model.Take) -> None:
    """A path that goes on meets it by itself: where it is asked for its light as often as a lamp, there is twice the noise."""
    assert noise(replace(take, emitters=(KEY, lights.sky(Ambient(power=1.0))))) < 0.03


def test_how_often_a_path_is_mirrored_changes_the_noise_and_not_the_light(take: model.Take, tmp_path: Path) -> None:
    tiles = surface(Finish(material="tiles"), Paintbox(tmp_path))
    mirrored = as_often_mirrored_as_scattered(tiles.bsdf)
    (mesh, _), *_ = take.solids
    lit = replace(take, emitters=(KEY, lights.sky(Ambient(power=1.0))), samples=64)
    ours, even = (replace(lit, solids=((mesh, look),)) for look in (tiles, replace(tiles, bsdf=mirrored)))
    assert noise(ours) < 0.8 * noise(even)
    assert level(ours) == pytest.approx(level(even), rel=0.01)


def as_often_mirrored_as_scattered(bsdf: dict[str, Any]) -> dict[str, Any]:
    if "bsdf" in bsdf:
        return {**bsdf, "bsdf": as_often_mirrored_as_scattered(bsdf["bsdf"])}
    rates = {name: 1.0 for name in bsdf if name.endswith("sampling_rate")}
    assert len(rates) == 2
    return {**bsdf, **rates}


def level(take: model.Take) -> float:
    return float(undenoised(take).mean())


def test_a_mirrored_sun_is_no_brighter_than_a_lamp(take: model.Take, tmp_path: Path) -> None:
    """Its thousandfold light, met by one path of thousands, is a speck that no number of paths averages out."""
    if real_model(model.load, "mitsuba").variant == "scalar":
        pytest.skip("the scalar variant adds up what its paths bring by itself")
    sun = lights.lamp(Light(kind="sun", azimuth=180.0, elevation=40.0, size=(3.0, 3.0), power=1.0))
    assert max(sun["emitter"]["radiance"]["value"]) > 5 * MOST_LIGHT
    (mesh, _), *_ = take.solids
    mirror = surface(Finish(material="chrome", gloss=0.98), Paintbox(tmp_path))
    light = undenoised(replace(take, solids=((mesh, mirror),), emitters=(sun,), samples=16))
    assert 0.5 * MOST_LIGHT < light.max() <= MOST_LIGHT


@pytest.mark.parametrize("tint", [(0.58, 0.52, 0.44), (0.02, 0.02, 0.03)], ids=["plaster", "dark"])
def test_denoised_light_keeps_its_colour(tint: tuple[float, float, float]) -> None:
    random = np.random.default_rng(1)
    noisy = np.float32(tint) * random.gamma(4.0, 0.25, (96, 96, 1)).astype(np.float32)
    clean = denoise(noisy, Guide(np.full_like(noisy, 0.7)))
    assert np.allclose(clean.mean(axis=(0, 1)), noisy.mean(axis=(0, 1)), rtol=0.003)
    assert (clean.std(axis=(0, 1)) < 0.05 * noisy.std(axis=(0, 1))).all()


def with_relief() -> Any:
    renderer = real_model(model.load, "mitsuba")
    if renderer.variant == "scalar":
        pytest.skip("the scalar variant looks at no relief: it would take as long as the light")
    return renderer


@pytest.fixture(scope="module")
def cloth(take: model.Take, tmp_path_factory: pytest.TempPathFactory) -> model.Take:
    """Linen on the ground, as close as in a picture, its light from the side."""
    view = camera.aim(96, 96, (48, 48), 570.0, 60.0, 6.5)
    linen = surface(Finish(material="linen"), Paintbox(tmp_path_factory.mktemp("cache")))
    side = lights.lamp(Light(power=1.0, size=(1.0, 1.0), azimuth=-90, elevation=35))
    return replace(take, view=view, solids=((take.solids[0][0], linen),), emitters=(side,))


def test_relief_tilts_the_normals_as_it_does_in_the_light(cloth: model.Take) -> None:
    """In a light from one direction a surface without gloss gives back the cosine to its normal, without any noise."""
    import mitsuba as mi

    renderer = with_relief()
    mi.set_variant(VARIANTS[renderer.variant])
    ((mesh, linen),) = cloth.solids
    grey = {"type": "diffuse", "reflectance": {"type": "rgb", "value": [0.5] * 3}}
    matt = {"type": "twosided", "bsdf": {**linen.bsdf["bsdf"], "bsdf": grey}}
    surface = Surface(matt, linen.period, linen.turn, linen.offset)
    towards = np.array([0.48, -0.36, 0.8])
    sun = {"type": "directional", "direction": (-towards).tolist(), "irradiance": {"type": "rgb", "value": [np.pi] * 3}}
    shone = replace(cloth, solids=((mesh, surface),), emitters=(sun,), samples=256, depth=2)
    cosine = undenoised(shone)[..., 0] / 0.5
    raised = reliefs(cloth.view, 0.0, cloth.solids)
    scene = coloured(mi, cloth.view, 0.0, cloth.solids, {}, raised)
    _, normals, blur = mean_colour_relief_and_blur(mi, scene, 256, cloth.seed, cloth.view, 0.0)
    assert not blur.any()
    assert cosine.std() > 0.1
    assert np.corrcoef((normals @ towards).ravel(), cosine.ravel())[0, 1] > 0.98


def test_a_weave_outlives_the_noise(cloth: model.Take) -> None:
    """Four paths a pixel show its threads as they are; a denoiser that knows the colours alone smooths them away."""
    renderer = with_relief()
    seen, true = (renderer.run([replace(cloth, samples=samples, seed=samples)])[0] for samples in (4, 256))
    assert isinstance(seen, model.Light)
    assert isinstance(true, model.Light)
    error = np.abs(seen.colour - true.colour).mean() / true.colour.mean()
    assert true.colour.std() / true.colour.mean() > 0.1
    assert error < 0.04


def test_a_border_between_two_surfaces_is_no_relief() -> None:
    """The normals of a blurred surface are noisy, and its light ends where another begins: nothing to learn for its own."""
    random = np.random.default_rng(1)
    normals = np.zeros((128, 128, 3), np.float32)
    normals[..., :2] = random.normal(0, 0.3, (128, 128, 2))
    normals[..., 2] = np.sqrt(np.maximum(1 - (normals[..., :2] ** 2).sum(axis=-1), 0.05))
    normals[:, 64:] = (0, 0, 1)
    light = np.full((128, 128, 3), 0.3, np.float32)
    light[:, 64:] = 1.0
    shade = shading(light, np.full_like(light, 0.5), normals)
    assert np.abs(shade[:, :64] - 1).max() < 0.02


def test_each_light_leaves_its_own_colour_on_a_relief() -> None:
    """What faces a warm lamp is warm, what faces away from it has the colour of the sky: with noise as well."""
    random = np.random.default_rng(2)
    normals = np.zeros((128, 128, 3), np.float32)
    normals[..., :2] = random.uniform(-0.3, 0.3, (128, 128, 2))
    normals[..., 2] = np.sqrt(1 - (normals[..., :2] ** 2).sum(axis=-1))
    red, blue = (np.asarray(normals @ np.float32(towards)) for towards in ((0.6, 0, 0.8), (-0.6, 0, 0.8)))
    true = np.stack([red, (red + blue) / 2, blue], axis=-1)
    noisy = np.asarray(true * random.uniform(0.2, 1.8, true.shape), np.float32)
    shade = shading(noisy, np.full_like(noisy, 0.5), normals)
    warmth, known = shade[..., 0] - shade[..., 2], true[..., 0] - true[..., 2]
    assert np.corrcoef(warmth.ravel(), known.ravel())[0, 1] > 0.9
    assert warmth.std() == pytest.approx(known.std() / 0.8, rel=0.2)


def test_there_is_no_relief_where_none_is_or_none_is_sharp(take: model.Take, cloth: model.Take) -> None:
    ceramic = Surface({"type": "twosided", "bsdf": {"type": "diffuse"}})
    assert not reliefs(take.view, 0.0, ((take.solids[0][0], ceramic),))
    ((floor, linen),) = cloth.solids
    below = geometry.moved(floor, (0, 0, -6))
    (found,) = reliefs(cloth.view, 0.0, ((below, linen),)).values()
    assert found.height is bump(linen)["arbitrary"]["bitmap"].array
    assert reliefs(cloth.view, 0.2, cloth.solids)
    assert not reliefs(cloth.view, 0.2, ((below, linen),))


def test_the_noise_of_looks_at_something_blurred_is_evened_out_and_nothing_sharp_is_touched(cloth: model.Take) -> None:
    """A floor of linen, sharp in the middle of the picture: its threads stay as they were seen."""
    import mitsuba as mi

    renderer = with_relief()
    mi.set_variant(VARIANTS[renderer.variant])
    view = replace(cloth.view, width=256, height=256, centre=(128.0, 128.0))
    scene = coloured(mi, view, 0.6, cloth.solids, {}, reliefs(view, 0.6, cloth.solids))
    _, few, blur = mean_colour_relief_and_blur(mi, scene, 8, 1, view, 0.6)
    _, many, _ = mean_colour_relief_and_blur(mi, scene, 512, 2, view, 0.6)
    even = evened(few, blur)
    sharp, blurred = blur < 2, blur > 8
    assert sharp.any()
    assert np.array_equal(even[sharp], few[sharp])
    assert np.square(even - many)[blurred].mean() < 0.1 * np.square(few - many)[blurred].mean()


def test_two_colours_of_one_material_have_one_relief(cloth: model.Take, tmp_path: Path) -> None:
    paintbox = Paintbox(tmp_path)
    ((mesh, _),) = cloth.solids
    red, blue = (surface(Finish(material="linen", colour=colour), paintbox) for colour in ("#a03020", "#2030a0"))
    first, second = reliefs(cloth.view, 0.0, ((mesh, red), (mesh, blue))).values()
    assert first is second


def test_a_stray_pixel_is_pressed_down_but_not_the_few_that_find_a_reflection() -> None:
    light = np.full((24, 24, 3), 0.1, np.float32)
    light[6, 6] = light[16, 16] = light[18, 17] = 5.0
    pressed = without_fireflies(light)
    assert pressed[6, 6].max() < 0.2
    assert (pressed[[16, 18], [16, 17]] == 5.0).all()


def test_no_path_starts_where_nobody_looks_and_the_rest_is_as_bright_as_ever(take: model.Take) -> None:
    renderer = real_model(model.load, "mitsuba")
    unseen = np.zeros((SIZE, SIZE), bool)
    unseen[8:24, 8:24] = True
    many = replace(take, samples=256)
    whole, part = renderer.run([many, replace(many, unseen=unseen)])
    assert isinstance(whole, model.Light)
    assert isinstance(part, model.Light)
    beside = ~ndimage.binary_dilation(unseen, iterations=3)  # a denoiser mixes
    assert np.allclose(part.colour[beside], whole.colour[beside], rtol=0.1)
    assert np.allclose(part.colour[beside].mean(), whole.colour[beside].mean(), rtol=0.005)
    if renderer.variant != "scalar":
        assert (np.ptp(part.albedo[unseen], axis=0) == 0).all()


def test_only_what_the_product_is_sure_to_hide_is_not_looked_at(tmp_path: Path) -> None:
    photo_set, params = check(load_catalogue().scenes["studio"]), SceneParams(scene="studio", width=256, height=256)
    subject = stood(photo_set, params, [Photo(*product())])
    plan = shoot.plan(photo_set, params, subject, seed=3, cache=tmp_path)
    unseen = plan.take.unseen
    assert unseen is not None
    assert unseen.mean() > 0.05
    assert not (ndimage.binary_dilation(unseen, np.ones((3, 3)), iterations=12) & ~plan.hidden).any()
    assert plan.bare.unseen is None


def test_a_pixel_that_is_no_number_is_as_bright_as_those_beside_it() -> None:
    light = np.full((24, 24, 3), 0.1, np.float32)
    light[6, 6] = np.nan
    light[16, 17, 1] = np.inf
    assert np.allclose(without_fireflies(light), 0.1)


def test_a_flat_relief_is_lit_also_where_its_texture_runs_straight_up(take: model.Take) -> None:
    x, z = np.meshgrid(np.float32([-9, 9]), np.float32([-9, 9]))
    wall = geometry.sheet(np.stack([x, np.zeros_like(x), z], axis=-1), np.stack([z, x], axis=-1))
    height = {"type": "bitmap", "raw": True, "bitmap": Texture(np.zeros((8, 8), np.float32), raw=True)}
    relief = {"type": "bumpmap", "arbitrary": height, "scale": 1.0, "bsdf": {"type": "principled"}}
    lit = undenoised(replace(take, solids=((wall, Surface(relief, period=1.0)),)))
    assert np.isfinite(lit).all()
    assert lit.min() > 0


def test_a_texture_without_relief_lies_exactly_as_it_should(take: model.Take) -> None:
    """A picture of the distance is as wide as its wall: turned by a hair, its sky would begin with grass."""
    import mitsuba as mi

    mi.set_variant(VARIANTS[real_model(model.load, "mitsuba").variant])
    wall = geometry.ground((0, 80), (0, 30))
    scene = translate.lit(mi, take.view, 0.0, ((wall, Surface({"type": "diffuse"}, period=80.0)),), (KEY,), {})
    found = np.array(mi.traverse(scene)["solid0.vertex_texcoords"]).reshape(-1, 2)
    assert np.allclose(found, wall.uv / 80, atol=1e-6)


def test_a_window_of_a_picture_shows_what_the_picture_shows_there(take: model.Take) -> None:
    window = take.view.cropped(6, 9, 20, 12)
    y, x = np.mgrid[0:12, 0:20]
    assert np.allclose(window.rays(x, y), take.view.rays(x + 6, y + 9))
