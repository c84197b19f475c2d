"""The catalogue of sets: enough of them for every trade, each of sound things, each with its preview."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec import structs
from PIL import Image

from pergai.cards.catalogue import load_catalogue
from pergai.paths import packaged
from pergai.runners.render import card, changes, growth, lights, props, stage, stands, walls
from pergai.runners.render import geometry as g
from pergai.runners.render.camera import DecidedView, aim
from pergai.runners.render.card import Card, Footprint
from pergai.runners.render.denoise import Guide, denoise
from pergai.runners.render.develop import SOURCE, WHITE, bokeh_band, source_noise, with_bokeh, with_glare
from pergai.runners.render.geometry import Mesh
from pergai.runners.render.materials import MATERIALS, VISTA_SIZE, Paintbox, surface
from pergai.runners.render.spec import Backdrop, Bokeh, Finish, Floor, Light, Look, PhotoSet, Prop, Stand, check
from pergai.runners.render.terrain import ENDLESS, RELIEFS, Height, level
from pergai.runners.render.vistas import ASPECT

SCENES = load_catalogue().scenes
GREEN = {"type": "rgb", "value": [0.0, 1.0, 0.0]}
TRADES = {
    "studio", "fashion", "footwear", "jewellery", "beauty", "food", "electronics", "furniture", "home", "toys", "tools",
    "accessories", "luxury", "nature", "seasonal",
}  # fmt: skip


def sound(mesh: Mesh) -> None:
    """Finite, whole, within reach, and no larger than a set can bear."""
    assert np.isfinite(mesh.vertices).all()
    assert np.isfinite(mesh.uv).all()
    assert len(mesh.uv) == len(mesh.vertices)
    assert mesh.faces.max() < len(mesh.vertices)
    assert len(mesh.faces) < 1_000_000
    if mesh.normals is not None:
        length = np.linalg.norm(mesh.normals, axis=1)
        assert np.isfinite(length).all()
        assert (length < 1.001).all()
        assert (length > 0.99).mean() > 0.9


def test_there_are_sets_for_every_trade() -> None:
    assert len(SCENES) >= 60
    assert {card.category for card in SCENES.values()} >= TRADES
    orders = [card.order for card in SCENES.values()]
    assert len(set(orders)) == len(orders), "two sets at one place of the list"


@pytest.mark.parametrize("scene", SCENES)
def test_every_prop_of_a_set_is_a_sound_mesh_above_the_floor(scene: str) -> None:
    random = np.random.default_rng(1)
    for prop in check(SCENES[scene]).props:
        mesh = props.build(prop, random)
        sound(mesh)
        if prop.kind not in {"shingle", "petals", "leaves", "branch", "plant", "grass"}:
            assert mesh.vertices[:, 2].min() > prop.z - 0.12


@pytest.mark.parametrize("ground", [level, RELIEFS["cloth"](np.random.default_rng(3), 0.8)], ids=["table", "cloth"])
@pytest.mark.parametrize(("kind", "size"), [("leaves", (0.2, 0.09)), ("petals", (0.11, 0.095)), ("maple", (0.27,))])
@pytest.mark.parametrize("seed", range(4))
def test_what_lies_on_the_ground_touches_it_and_dips_into_it_nowhere(
    kind: Any, size: tuple[float, ...], seed: int, ground: Height
) -> None:
    lying = props.build(Prop(kind=kind, size=size, at=(0.4, -0.3)), np.random.default_rng(seed), ground=ground)
    x, y, z = lying.vertices.T
    above = z - ground(x, y)
    assert 0 < above.min() < 0.003
    assert above.max() < 0.8 * size[0]


def test_stones_are_as_high_as_the_ground_under_them() -> None:
    ground = RELIEFS["dunes"](np.random.default_rng(1), 1.0)
    stone = Prop(kind="stones", size=(0.1,), at=(1.2, 2.4), z=-0.02)
    even, raised = (props.build(stone, np.random.default_rng(1), ground=height) for height in (level, ground))
    here = float(ground(np.float32([1.2]), np.float32([2.4]))[0])
    assert abs(here) > 0.01
    assert np.allclose(raised.vertices[:, 2] - even.vertices[:, 2], here, atol=1e-5)


@pytest.mark.parametrize("scene", SCENES)
def test_every_set_has_a_small_preview(scene: str) -> None:
    path = packaged("configs") / "previews" / f"{scene}.webp"
    with Image.open(path) as preview:
        assert preview.width == preview.height >= 320
    assert path.stat().st_size < 60_000


def test_there_is_no_preview_without_its_set() -> None:
    assert {path.stem for path in (packaged("configs") / "previews").glob("*.webp")} == set(SCENES)


@pytest.mark.parametrize(
    "mesh",
    [
        walls.fluted(4.0, 2.0, 0.1), walls.fluted(4.0, 2.0, 0.1, hollow=True), walls.slats(4.0, 2.0, 0.16),
        walls.niche(1.6, 1.8, 0.5, (8.0, 4.0)), walls.panelled(6.0, 4.0, 1.6), walls.sweep(-4, 3, 1.2, 8, 10),
        walls.vista(2.0, 8.0, 0.3),
    ],
    ids=["fluted", "hollow", "slats", "niche", "panelled", "sweep", "vista"],
)  # fmt: skip
def test_a_wall_is_a_sound_mesh(mesh: Mesh) -> None:
    sound(mesh)


def test_a_curtain_hangs_in_folds_and_turns_to_the_room_on_the_ground() -> None:
    mesh = walls.curtain(4.0, 3.0, 0.1, 2.5, np.random.default_rng(1))
    sound(mesh)
    _, y, z = mesh.vertices.T
    assert np.ptp(y[z > 1]) > 0.1
    front = y < y.min() + 0.01
    assert np.abs(z[front]).max() < 0.01
    assert y.min() < y[z > 1].min() - 0.3


def test_ground_is_finest_at_the_origin() -> None:
    x, y, _ = g.ground((-4, 4), (-4, 9), lambda x, y: x * y, 100).vertices.reshape(100, 100, 3).transpose(2, 0, 1)
    for along in (np.diff(x[0]), np.diff(y[:, 0])):
        assert (along > 0).all()
        assert along.min() < 0.6 * along.max()
    assert np.abs(x[0, np.argmin(np.diff(x[0]))]) < 0.1
    assert np.abs(y[np.argmin(np.diff(y[:, 0])), 0]) < 0.1
    assert (x.min(), x.max(), y.min(), y.max()) == pytest.approx((-4, 4, -4, 9), abs=1e-4)


def test_a_niche_is_closed_at_its_back() -> None:
    """A ray through any point of the opening meets the back wall."""
    mesh = walls.niche(1.6, 1.8, 0.5, (8.0, 4.0))
    corners = mesh.vertices[mesh.faces]
    back = corners[(np.abs(corners[..., 1] - 0.5) < 1e-4).all(axis=1)][..., [0, 2]]
    for point in ([0.0, 0.05], [0.7, 0.1], [-0.7, 0.1], [0.0, 1.7], [0.4, 1.4]):
        a, b, c = (back[:, k] - point for k in range(3))
        turns = np.stack([p[:, 0] * q[:, 1] - p[:, 1] * q[:, 0] for p, q in ((a, b), (b, c), (c, a))])
        assert ((turns >= -1e-6).all(axis=0) | (turns <= 1e-6).all(axis=0)).any(), point


@pytest.mark.parametrize("name", ["garden", "meadow", "forest", "firs"])
def test_a_picture_of_the_distance_is_out_of_focus_and_comes_again_without_a_seam(name: str, tmp_path: Path) -> None:
    """The foot of a green one is darker than its top: grass and undergrowth below, light between the crowns above. Before firs
    lies snow."""
    picture = Paintbox(tmp_path).painted(name, "#a8c45c", "#2f4a22", VISTA_SIZE)["colour"].astype(float)
    aside, seam = np.abs(np.diff(picture, axis=1)).mean(), np.abs(picture[:, 0] - picture[:, -1]).mean()
    assert seam < 2 * aside
    assert np.abs(np.diff(picture, axis=0)).max() < 0.3 * np.ptp(picture), "no edge is sharp"
    assert picture.std() > 20
    foot, top, height = picture[:32], picture[-32:], len(picture)
    if name == "firs":
        assert foot.mean() > picture[height // 6 : height // 2].mean() + 40
    else:
        assert top.mean() > foot.mean() + 5


def spots_of(light: Light) -> np.ndarray:
    """Points (9, 9, 3) all over a lamp."""
    _, origin, target, (half, tall) = lights.lamp(light)["to_world"]
    towards = np.subtract(origin, target) / np.linalg.norm(np.subtract(origin, target))
    side = np.cross([0, 0, 1], towards) / np.linalg.norm(np.cross([0, 0, 1], towards))
    across, along = np.meshgrid(np.linspace(-half, half, 9), np.linspace(-tall, tall, 9))
    return origin + across[..., None] * side + along[..., None] * np.cross(towards, side)


def mirrors(floor: Floor) -> bool:
    material = MATERIALS[floor.material]
    return not material.matt and (material.roughness if floor.gloss is None else 1 - floor.gloss) < 0.3


@pytest.mark.parametrize("scene", [id for id, card in SCENES.items() if mirrors(check(card).floor)])
def test_no_floor_mirrors_a_lamp_beside_what_lies_on_it(scene: str) -> None:
    photo_set = check(SCENES[scene])
    own = photo_set.camera
    camera = aim(100, 100, (50, 50), 1.1 * own.scale * 100, 89.9, own.distance)
    for light in (lights.from_above(light) for light in photo_set.lights if light.kind != "sun"):
        x, y = np.moveaxis(camera.project(spots_of(light) * (1, 1, -1)), -1, 0)
        assert not ((x > 0) & (x < 100) & (y > 0) & (y < 100)).any()


@pytest.mark.parametrize("scene", SCENES)
def test_behind_every_set_is_something_whatever_it_is_seen_from(scene: str) -> None:
    """Also one that is meant to be seen from above: a shop may have photographed its product from the front. Pure white needs
    nothing."""
    photo_set = check(SCENES[scene])
    assert photo_set.look.seamless or photo_set.backdrop.kind != "none"


@pytest.mark.parametrize("kind", ["cylinder", "block", "slab", "steps"])
def test_a_stand_carries_all_of_what_lies_on_it(kind: str) -> None:
    mesh = stands.lying(Stand(kind=kind, height=0.1, spread=1.2), 1.0, np.random.default_rng(1))
    top = mesh.vertices[mesh.vertices[:, 2] > -1e-6, :2]
    assert (top.min(axis=0) < -0.5).all()
    assert (top.max(axis=0) > 0.5).all()
    assert np.abs(top.min(axis=0) + top.max(axis=0)).max() < 1e-6, "it lies in the middle"


@pytest.mark.parametrize(("lying", "floor"), [(True, -0.1), (False, 0.0)])
def test_only_a_stand_that_is_for_it_carries_what_lies(lying: bool, floor: float, tmp_path: Path) -> None:
    """On water. Elsewhere what lies is seen on the floor."""
    photo_set = PhotoSet(floor=Floor(material="paper"), stand=Stand(kind="cylinder", height=0.1, lying=lying))
    built = stage.build(photo_set, "top", [], shadow="soft", seed=1, cache=tmp_path)
    assert built.solids[0][0].vertices[:, 2] == pytest.approx(floor)
    assert len(built.solids) == 1 + lying


@pytest.mark.parametrize("scene", SCENES)
def test_no_lamp_stands_in_the_picture_from_however_far_above_it_is_taken(scene: str) -> None:
    """A lamp between the camera and the set hides it: its back is black."""
    photo_set = check(SCENES[scene])
    own = photo_set.camera
    pitches = (90.0,) if own.view == "top" else (own.pitch, 18.0, 26.0, 34.0, 42.0, 48.0, 55.0)
    for pitch, (width, height) in itertools.product(pitches, ((160, 90), (100, 100), (80, 100))):
        base = round(height * (0.5 if pitch == 90 else own.base))
        camera = aim(width, height, (width // 2, base), own.scale * height, pitch, own.distance)
        for light in photo_set.lights:
            if light.kind == "sun":
                continue
            spots = spots_of(light)
            before = (spots - camera.origin) @ camera.forward
            x, y = np.moveaxis(camera.project(spots), -1, 0)
            seen = (before > 0) & (before < own.distance) & (x > 0) & (x < width) & (y > 0) & (y < height)
            assert not seen.any(), (
                f"{light.kind} at {light.azimuth}, {light.elevation}, seen from {pitch} degrees above"
            )


@pytest.mark.parametrize("scene", [id for id, card in SCENES.items() if check(card).backdrop.kind == "vista"])
def test_no_tree_of_a_vista_is_seen_twice_in_the_widest_picture(scene: str) -> None:
    photo_set = check(SCENES[scene])
    camera, backdrop = photo_set.camera, photo_set.backdrop
    seen = 21 / 9 / camera.scale * (camera.distance + backdrop.distance) / camera.distance
    assert seen < stage.VISTA_HEIGHT * backdrop.scale * ASPECT


def test_the_lines_of_brushed_steel_are_seen_from_afar(tmp_path: Path) -> None:
    """In a picture that shows four texels as one pixel the tone varies from line to line, and hardly along a line."""
    tone = Paintbox(tmp_path).painted("steel", "#d3d6da", "#5d636b")["colour"].astype(float).mean(axis=-1)
    seen = tone.reshape(512, 4, 512, 4).mean(axis=(1, 3))
    across, along = np.abs(np.diff(seen, axis=0)).mean(), np.abs(np.diff(seen, axis=1)).mean()
    assert across > 4
    assert along < 0.1 * across


def test_before_a_vista_hangs_paper_when_a_colour_is_asked_for() -> None:
    lawn = check(SCENES["lawn"])
    teal, tinted = (changes.painted(lawn, "backdrop", "#008080", strength).backdrop for strength in (1.0, 0.3))
    assert (teal.kind, teal.material, teal.colour) == ("wall", "paper", "#008080")
    assert (tinted.kind, tinted.material) == ("vista", "garden")


@pytest.mark.parametrize("seed", range(8))
def test_a_rock_is_level_under_a_product_and_goes_into_the_ground_all_round(seed: int) -> None:
    stand = Stand(kind="boulder", height=0.2, spread=1.5)
    rock = stands.build(stand, 0.8, 0.3, np.random.default_rng(seed))
    sound(rock)
    x, y, z = rock.vertices.T
    under = (np.abs(x) < 0.4) & (y > 0) & (y < 0.3)
    assert under.sum() > 1000
    assert (np.abs(z[under]) < 0.02).all()
    rim = (x == x.min()) | (x == x.max()) | (y == y.min()) | (y == y.max())
    assert (z[rim] < -stand.height).all()


@pytest.mark.parametrize("seed", range(8))
def test_a_large_pebble_is_level_under_a_product_round_at_its_rim_and_goes_into_the_ground(seed: int) -> None:
    stand = Stand(kind="cobble", height=0.2, spread=1.5)
    pebble = stands.build(stand, 0.8, 0.3, np.random.default_rng(seed))
    sound(pebble)
    x, y, z = pebble.vertices.T
    under = (np.abs(x) < 0.35) & (y > 0.02) & (y < 0.28) & (z > -0.1)
    assert under.sum() > 1000
    assert z[under].max() == pytest.approx(0, abs=1e-6)
    assert (np.abs(z[under]) < 0.03).all()
    assert z[np.argmax(x)] < -0.25 * stand.height
    assert z.min() < -stand.height


@pytest.mark.parametrize("seed", range(3))
def test_pebbles_cover_their_bed_and_lie_round_what_stands_in_it(seed: int) -> None:
    bed = Prop(kind="shingle", size=(2.4, 2.0, 0.1), at=(0.1, 0.2))
    rock = g.moved(g.cylinder(0.5, 0.3), (0.2, 0.1, 0))
    around = props.build(bed, np.random.default_rng(seed), [rock])
    sound(around)
    x, y, z = around.vertices.T
    inside = np.hypot(x - 0.2, y - 0.1) < 0.45
    assert not inside.any()
    near = (np.abs(x - 0.1) < 1.0) & (np.abs(y - 0.2) < 0.8)
    seen, _, _ = np.histogram2d(x[near & (z > 0)], y[near & (z > 0)], bins=(20, 16))
    free = np.hypot(*np.meshgrid(np.linspace(-1.05, 0.85, 20), np.linspace(-0.65, 0.85, 16), indexing="ij")) > 0.6
    assert (seen[free] > 0).mean() > 0.8
    assert z.max() < 0.3, "no higher than a stand"


@pytest.mark.parametrize("size", [(0.05, 0.05, 0.05), (0.6, 0.4, 0.1)], ids=["smaller than a stone", "under a stand"])
def test_a_bed_of_pebbles_may_be_too_small_for_any(size: tuple[float, float, float]) -> None:
    stand = g.moved(g.cylinder(0.5, 0.3), (0.1, 0.2, 0))
    sound(props.build(Prop(kind="shingle", size=size, at=(0.1, 0.2)), np.random.default_rng(1), [stand]))


@pytest.mark.parametrize("seed", range(4))
def test_a_stone_is_one_closed_skin_on_which_no_lines_meet(seed: int) -> None:
    mesh = growth.stone(0.2, 0.6, np.random.default_rng(seed))
    sound(mesh)
    edges = np.concatenate([mesh.faces[:, [k, (k + 1) % 3]] for k in range(3)])
    there, back = ({(int(a), int(b)) for a, b in way} for way in (edges, edges[:, ::-1]))
    assert len(there) == len(edges)
    assert there == back
    assert np.bincount(mesh.faces.ravel()).max() <= 8, "triangles round a point"
    corners, laid = mesh.vertices[mesh.faces], mesh.uv[mesh.faces]
    across = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    outside = corners.mean(axis=1) - mesh.vertices.mean(axis=0)
    assert ((across * outside).sum(axis=1) > 0).all()
    seen = corners[..., 2].mean(axis=1) > 0.3 * mesh.vertices[:, 2].max()
    (a, b), (c, d) = (laid[:, 1] - laid[:, 0]).T, (laid[:, 2] - laid[:, 0]).T
    texture = np.abs(a * d - b * c)[seen] / np.linalg.norm(across[seen], axis=1)
    assert texture.min() > 0.5
    assert texture.max() < 6, "nowhere pressed together"


@pytest.mark.parametrize("seed", range(8))
def test_a_shaving_is_rolled_up_and_lies_on_the_bench(seed: int) -> None:
    curl = props.build(Prop(kind="shavings", size=(0.07, 0.075)), np.random.default_rng(seed))
    sound(curl)
    x, y, z = curl.vertices.T
    along, across = curl.uv.T
    assert z.min() == pytest.approx(0, abs=1e-6)
    assert max(np.ptp(y), np.ptp(z)) < 2.5 * 0.07
    assert np.ptp(along) > 1.3 * np.pi * 0.07, "longer than what it covers"
    assert np.ptp(across) < 0.075 * 1.2 + 1e-6
    assert np.ptp(x) < 4 * np.ptp(across)


@pytest.mark.parametrize("seed", range(8))
def test_stones_lie_beside_each_other(seed: int) -> None:
    stones = Prop(kind="stones", size=(0.1, 0.6), count=6, spread=(0.8, 0.5), clear=0.3)
    mesh = props.build(stones, np.random.default_rng(seed))
    one = props.build(structs.replace(stones, count=1), np.random.default_rng(seed))
    middles = mesh.vertices.reshape(6, len(one.vertices), 3).mean(axis=1)[:, :2]
    apart = np.hypot(*(middles[:, None] - middles[None]).transpose(2, 0, 1))[~np.eye(6, dtype=bool)]
    assert apart.min() > 0.2


def test_rings_on_water_reach_what_stands_in_it(tmp_path: Path) -> None:
    photo_set = PhotoSet(floor=Floor(material="water", shape="rings"), stand=Stand(kind="cylinder", height=0.1))
    built = stage.build(photo_set, "front", [_drum(60)], shadow="auto", seed=1, cache=tmp_path)
    x, y, z = built.solids[0][0].vertices.T
    near = (np.hypot(x, y) > 0.22) & (np.hypot(x, y) < 0.3)
    assert np.ptp(z[near]) > 0.01


def test_the_beads_of_a_strand_touch_and_do_not_overlap() -> None:
    strand = props.build(Prop(kind="strand", size=(0.05, 0.85, 0.5)), np.random.default_rng(1))
    beads = strand.vertices.reshape(-1, 32 // 2 * 33, 3).mean(axis=1)
    apart = np.linalg.norm(beads[:, None] - beads[None], axis=-1) + np.eye(len(beads))
    assert len(beads) > 15
    assert apart.min() > 0.095
    assert np.median(apart.min(axis=1)) < 0.11


def test_a_petal_is_deep_at_its_foot(tmp_path: Path) -> None:
    """The first row of a fitted picture is where v is 0: the foot of the mesh."""
    picture = Paintbox(tmp_path).painted("petal", "#ffffff", "#000000", 256)["colour"].astype(float)
    assert picture[4:20, 50:200].mean() < 0.6 * picture[-20:-4, 50:200].mean()
    mesh = growth.petal(1.0, 0.9)
    assert np.abs(mesh.vertices[mesh.uv[:, 1] == 0]).max() < 1e-6


def test_a_twig_and_its_blossom_belong_together() -> None:
    (wood, spots), (again, _) = (growth.bough(1.5, np.random.default_rng([3, 4])) for _ in range(2))
    sound(wood)
    assert np.array_equal(wood.vertices, again.vertices)
    assert len(spots) > 30
    for spot, _ in spots:
        assert np.linalg.norm(wood.vertices - spot, axis=1).min() < 0.2


@pytest.mark.parametrize("name", [name for name, material in MATERIALS.items() if material.fitted])
def test_a_picture_of_one_thing_is_neither_turned_nor_shifted(
    name: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    finish = Finish(material=name, scale=3.0, turn=40.0)  # type: ignore[arg-type]
    look = surface(finish, Paintbox(tmp_path_factory.mktemp("textures")), (0.3, 0.7))
    assert (look.period, look.turn, look.offset) == (1.0, 0.0, (0.0, 0.0))


def test_a_horizon_out_of_focus_is_smooth_though_its_guide_was_looked_at_only_a_few_times() -> None:
    """Along the horizon nothing changes: what is left of the noise there is what the denoiser kept."""
    random = np.random.default_rng(5)
    share = np.clip((np.arange(192)[:, None] - 60) / 72, 0, 1) * np.ones((1, 192))
    looks = [(random.random((192, 192)) < share).astype(np.float32) for _ in range(10)]
    albedo = np.repeat(0.1 + 0.8 * np.mean(looks[:4], axis=0)[..., None], 3, axis=-1).astype(np.float32)
    colour = np.repeat(0.1 + 0.8 * np.mean(looks[4:], axis=0)[..., None], 3, axis=-1).astype(np.float32)

    def unrest(picture: np.ndarray) -> float:
        return float(np.abs(np.diff(picture[70:122, 16:-16, 0], axis=1)).mean())

    kept, mended = (unrest(denoise(colour, Guide(albedo), blurred=blurred)) for blurred in (False, True))
    assert mended < 0.5 * kept


@pytest.mark.parametrize("pitch", [4.0, 14.0])
def test_the_lights_of_a_city_lie_between_its_skyline_and_the_edge_of_the_floor(pitch: float) -> None:
    photo_set = PhotoSet(floor=Floor(depth=0.9), bokeh=Bokeh(count=60, size=0.01, skyline=2.0))
    view = aim(200, 200, (100, 168), 100, pitch, 5.5)
    band = bokeh_band(photo_set, view)
    lit = with_bokeh(np.zeros((200, 200, 3), np.float32), photo_set.bokeh, 1.0, np.random.default_rng(3), band)
    rows = np.flatnonzero(lit.any(axis=(1, 2)))
    far = np.array([0.0, 1e6, 1e6 * np.tan(np.radians(2.0))])
    assert rows.min() >= view.project(far)[1] - 4
    assert rows.max() <= view.project((0.0, 0.9, 0.0))[1] + 1


def test_a_flame_lights_the_air_round_it_and_a_white_wall_does_not() -> None:
    """As a lens does it: nearer is brighter, and the colour is the flame's. Nothing is added where nothing shines."""
    look, white = Look(exposure=-0.5), 0.7
    limit = SOURCE * white / (WHITE * 2.0**look.exposure)
    wall = np.full((128, 128, 3), 0.99 * limit, np.float32)
    assert np.array_equal(with_glare(wall, look, white), wall)
    night = np.zeros((128, 128, 3), np.float32)
    night[60:68, 60:68] = np.float32([8, 4, 1]) * limit
    lit = with_glare(night, look, white)
    near, far = lit[64, 72], lit[64, 84]
    assert near[0] > 3 * far[0] > 0
    assert near[0] / near[1] == pytest.approx(7 / 3, rel=0.02)
    assert near[2] == 0, "no colour of a light is brighter for it than twice white"
    spread = (lit - night).sum() / np.maximum(night - limit, 0).sum()
    assert spread == pytest.approx(look.glare, rel=0.1)
    assert np.array_equal(with_glare(night, Look(glare=0), white), night)


def test_fur_is_no_grain_and_grain_is_found_through_it() -> None:
    random = np.random.default_rng(4)
    alpha = np.zeros((300, 300), np.uint8)
    alpha[60:240, 60:240] = 255

    def photo(fur: float, grain: float, ground: float) -> np.ndarray:
        levels = np.where(alpha == 255, 120 + random.normal(0, fur + 1e-6, alpha.shape), ground)
        noisy = np.rint(levels + random.normal(0, grain + 1e-6, alpha.shape))
        return np.repeat(np.clip(noisy, 0, 255).astype(np.uint8)[..., None], 3, axis=-1)

    assert source_noise(photo(0, 2, 200), alpha) == pytest.approx(2, rel=0.1)
    assert source_noise(photo(15, 1, 200), alpha) == pytest.approx(1, rel=0.1)
    assert source_noise(photo(0, 2, 255), alpha) == pytest.approx(2, rel=0.1), "a white that is clipped has no grain"
    assert source_noise(photo(0, 2, 0), alpha) == pytest.approx(2, rel=0.1), "nor has the black under a cut-out"


def test_a_glow_shines_with_its_power(tmp_path: Path) -> None:
    once, nine = (
        surface(Finish(material="glow", colour="#ffb85a", power=p), Paintbox(tmp_path)).glow for p in (1.0, 9.0)
    )
    assert once is not None
    assert nine == pytest.approx([9 * channel for channel in once])


def _props(
    photo_set: PhotoSet,
    cards: list[Card],
    view: DecidedView,
    cache: Path,
    width: float = 1.0,
    shared: Footprint | None = None,
) -> list[Mesh]:
    built = stage.build(photo_set, view, cards, shadow="auto", seed=1, cache=cache, width=width, shared=shared)
    return [mesh for mesh, look in built.solids if look.bsdf.get("bsdf", {}).get("base_color") == GREEN]


@pytest.mark.parametrize("view", ["front", "top"])
def test_what_stands_at_the_products_side_makes_room_for_a_wide_one_and_stays_together(
    view: DecidedView, tmp_path: Path
) -> None:
    block = Prop(kind="block", material="lacquer", colour="#00ff00", size=(0.2, 0.2, 0.2), at=(-0.45, 0.1))
    photo_set = PhotoSet(
        floor=Floor(material="paper"),
        props=(
            block,
            structs.replace(block, z=0.2, heading=40.0),
            structs.replace(block, at=(0.9, 0.1)),
            structs.replace(block, size=(0.02, 0.02, 0.02), at=(0.0, 0.0), count=60, spread=(0.9, 0.9), clear=0.3),
        ),
    )
    alone = _props(photo_set, [], view, tmp_path)
    alpha = np.zeros((200, 200), np.uint8)
    alpha[80:140, 10:190] = 255
    if view == "front":
        camera = aim(200, 200, (100, 140), 180, 8.0, 6.0)
    else:
        camera = aim(200, 200, (100, 110), 180, 89.9, 6.0)
    wide = card.build(np.full((200, 200, 3), 90, np.uint8), alpha, camera)
    assert wide is not None
    lower, upper, far, strewn = _props(photo_set, [wide], view, tmp_path)
    assert lower.vertices[:, 0].max() < -0.5
    assert upper.vertices[:, 0].max() < -0.5
    steps = [after.vertices - before.vertices for before, after in zip(alone, (lower, upper, far), strict=False)]
    assert np.abs(steps[0][0] - steps[1][0]).max() < 1e-5, "one thing"
    assert np.abs(steps[0][:, 1:]).max() == 0
    assert not steps[2].any(), "there is room already"
    assert np.hypot(alone[3].vertices[:, 0], alone[3].vertices[:, 1]).min() < 0.4
    assert np.hypot(strewn.vertices[:, 0], strewn.vertices[:, 1]).min() > 0.48


def test_a_wide_products_stand_swallows_no_prop(tmp_path: Path) -> None:
    ball = Prop(kind="sphere", material="lacquer", colour="#00ff00", size=(0.09,), at=(0.6, 0.3))
    photo_set = PhotoSet(
        floor=Floor(material="paper"), stand=Stand(kind="steps", height=0.2, spread=1.4), props=(ball,)
    )
    alpha = np.zeros((200, 200), np.uint8)
    alpha[100:140, 20:180] = 255
    wide = card.build(np.full((200, 200, 3), 90, np.uint8), alpha, aim(200, 200, (100, 140), 160, 8.0, 6.0))
    assert wide is not None
    (beside,) = _props(photo_set, [wide], "front", tmp_path)
    radius = 1.45 * 1.4 / 2
    assert np.hypot(beside.vertices[:, 0], beside.vertices[:, 1]).min() > radius - 0.02


def test_an_arch_behind_stands_behind_a_wide_products_stand(tmp_path: Path) -> None:
    arch = Prop(kind="arch", material="lacquer", colour="#00ff00", size=(1.2, 0.05, 1.36, 0.035), at=(0.0, 1.0))
    photo_set = PhotoSet(
        floor=Floor(material="paper"), stand=Stand(kind="steps", height=0.2, spread=1.4), props=(arch,)
    )
    (before_narrow,) = _props(photo_set, [_drum(60)], "front", tmp_path, 0.375)
    (before_wide,) = _props(photo_set, [_drum(160)], "front", tmp_path, 1.0)
    assert before_narrow.vertices[:, 1].min() == pytest.approx(1.0 - 0.025), "it has room where it stands"
    assert before_wide.vertices[:, 1].min() > 1.45 * 1.4 / 2
    assert np.abs(before_wide.vertices[:, 0] - before_narrow.vertices[:, 0]).max() < 1e-6


def test_a_shared_set_makes_room_for_the_largest_product_and_is_the_same_for_all(tmp_path: Path) -> None:
    ball = Prop(kind="sphere", material="lacquer", colour="#00ff00", size=(0.09,), at=(0.4, 0.1))
    photo_set = PhotoSet(
        floor=Floor(material="paper"),
        props=(
            ball,
            structs.replace(ball, at=(-0.9, 0.1)),
            structs.replace(ball, at=(0.0, 0.6)),
            structs.replace(ball, size=(0.01,), at=(0.0, 0.0), count=40, spread=(0.6, 0.6), clear=0.2),
        ),
    )
    largest = Footprint(-0.5, 0.5, 0.0, 0.7)
    beside, far, behind, strewn = empty = _props(photo_set, [], "front", tmp_path, shared=largest)
    assert beside.vertices[:, 0].min() >= 0.5
    assert far.vertices[:, 0].mean() == pytest.approx(-0.9, abs=0.01), "there is room already"
    assert behind.vertices[:, 1].min() >= 0.7
    assert np.hypot(strewn.vertices[:, 0], strewn.vertices[:, 1]).min() > 0.5
    for width in (40, 150):
        placed = _props(photo_set, [_drum(width)], "front", tmp_path, width / 160, shared=largest)
        assert all(np.array_equal(one.vertices, other.vertices) for one, other in zip(placed, empty, strict=True))


@pytest.mark.parametrize("stand", [Stand(), Stand(kind="block", spread=1.1)])
def test_a_shared_set_knows_the_product_that_is_too_large_for_it(stand: Stand, tmp_path: Path) -> None:
    ball = Prop(kind="sphere", material="lacquer", size=(0.09,), at=(0.4, 0.1))
    photo_set = PhotoSet(floor=Floor(material="paper"), stand=stand, props=(ball,))

    def built(width: int) -> stage.Stage:
        largest = Footprint(-0.4, 0.4, 0.0, 0.4)
        return stage.build(
            photo_set, "front", [_drum(width)], shadow="auto", seed=1, cache=tmp_path, width=0.6, shared=largest
        )

    assert (built(60).crowded, built(60).overhung) == (False, False)
    assert (built(190).crowded, built(190).overhung) == (True, stand.kind != "none")


def test_props_make_room_for_a_whole_group(tmp_path: Path) -> None:
    ball = Prop(kind="sphere", material="lacquer", colour="#00ff00", size=(0.09,), at=(0.4, 0.1))
    photo_set = PhotoSet(floor=Floor(material="paper"), props=(ball, structs.replace(ball, at=(-0.4, 0.1))))
    group = [_drum(40, at=40), _drum(40, at=120)]
    alone = _props(photo_set, [], "front", tmp_path)
    (right, left) = _props(photo_set, group, "front", tmp_path)
    assert np.array_equal(right.vertices, alone[0].vertices), "there is room already"
    assert left.vertices[:, 1].min() > group[0].footprint.back > alone[1].vertices[:, 1].min()


def _drum(width: int, at: int = 100) -> Card:
    """A product 40 pixels high before a camera that shows a unit as 160."""
    alpha = np.zeros((200, 200), np.uint8)
    alpha[100:140, at - width // 2 : at + width // 2] = 255
    body = card.build(np.full((200, 200, 3), 90, np.uint8), alpha, aim(200, 200, (100, 140), 160, 8.0, 6.0))
    assert body is not None
    return body


def _floor(shape: str, cards: list[Card], cache: Path) -> np.ndarray:
    floor = Floor(material="paper", shape=shape, depth=60.0)  # type: ignore[arg-type]
    photo_set = PhotoSet(floor=floor, backdrop=Backdrop(kind="none"))
    built = stage.build(photo_set, "front", cards, shadow="auto", seed=1, cache=cache)
    own = {id(body.mesh) for body in cards}
    return np.concatenate([mesh.vertices for mesh, _ in built.solids if id(mesh) not in own])


@pytest.mark.parametrize("shape", RELIEFS)
def test_a_floor_is_level_under_a_product_however_wide_and_shaped_beside_it(shape: str, tmp_path: Path) -> None:
    body = _drum(160)
    half, behind = body.footprint.half, body.footprint.back
    x, y, z = _floor(shape, [body], tmp_path).T
    under = (np.abs(x) < half) & (y > -0.02) & (y < behind)
    assert under.sum() > 100
    assert np.abs(z[under]).max() < 1e-6
    near = (np.hypot(x, y) < 2) & ~under
    assert np.ptp(z[near]) > 0.002


@pytest.mark.parametrize("shape", RELIEFS)
def test_dunes_go_on_to_the_horizon_and_other_shapes_end(shape: str, tmp_path: Path) -> None:
    x, y, z = _floor(shape, [], tmp_path).T
    beyond = (y > 12) | (np.abs(x) > 6)
    assert (np.ptp(z[beyond]) > 1) == (shape in ENDLESS)
