"""Mitsuba 3 as a model of the engine: a fully described set in, its light out.

A payload is a `Take`; everything that decides about the picture is in it, so the same payload gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from pergai.cards.structs import ModelCard
from pergai.engine.core import UNFINISHED, Unfinished
from pergai.errors import JobError
from pergai.imaging.placement import Box
from pergai.runners import heap
from pergai.runners.render import catalogue
from pergai.runners.render.camera import View
from pergai.runners.render.denoise import Guide, denoise, without_fireflies
from pergai.runners.render.focus import evened
from pergai.runners.render.passes import PATHS_AT_ONCE, Tracing
from pergai.runners.render.slopes import reliefs
from pergai.runners.render.trace import mean_colour, mean_colour_relief_and_blur, mean_light
from pergai.runners.render.translate import Made, Solid, coloured, lit, sensor
from pergai.runners.render.variants import VARIANTS, fastest

Floats = npt.NDArray[np.float32]
Looks = tuple[Floats, tuple[Floats, Floats] | None]
"""Albedo of a set, and of one that has a relief its normals and the lens's blur."""
T = TypeVar("T")
Steps = Generator[float, None, T]
"""Work that pauses every few seconds, with the share that is done of the light it is at, 0-1."""

BLURRED = {"cuda": 0.08, "llvm": 0.08, "scalar": 0.06}
"""Radius of the lens, in units, from which on the looks at the albedo are too few, and their own noise is removed too."""
DETAIL_SAMPLES = 2
"""Looks at the sharp albedo a pixel."""

GUIDE_SAMPLES = {"cuda": 16, "llvm": 12, "scalar": 4}
"""Looks at the albedo a pixel, at least: the denoiser keeps what texture it is shown without noise."""
LOOKS, MOST_LOOKS = 0.8, 32
"""Looks for each path, where these are many: a picture of so little noise shows that of its guide."""

EMPTY_SAMPLES = 10
"""Paths of an empty set that many products share, for each path of a single picture."""
MOST_EMPTY_SAMPLES = 200
"""Or so many, where a single picture takes many itself: what is left of an error then is the denoiser's own, and the first
picture of a catalogue is waited for."""
CONTRAST_SAMPLES = 0.25
"""Paths of what a product changes far from it, for each path of a single picture."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Take:
    """One exposure: what stands before the camera, and how long to look."""

    view: View
    aperture: float
    """Radius of the lens in units."""
    solids: tuple[Solid, ...]
    emitters: tuple[Mapping[str, Any], ...]
    samples: int
    """Paths a pixel."""
    depth: int
    """Longest path."""
    seed: int
    detail: View | None = None
    """The same view with more pixels, for a picture that is larger than its light."""
    unseen: npt.NDArray[np.bool_] | None = None
    """(height, width): pixels that nobody will look at, and that cost nothing therefore."""


@dataclass(frozen=True, slots=True)
class Light:
    """What came back, each (height, width, 3)."""

    colour: Floats
    """Linear light, denoised."""
    albedo: Floats
    """What share of the light each surface gives back, linear, with the camera's own blur; 0 where there is none."""
    detail: Floats | None = None
    """The albedo at the size of `Take.detail`, sharp everywhere."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contrast:
    """An exposure of a set that is shared by many products: see `catalogue`."""

    take: Take
    bare: Take
    """The same without the product."""
    hidden: npt.NDArray[np.bool_]
    """(height, width): where the product stands."""
    folder: Path
    """Where empty sets are kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """A sharp look at a set without any light."""

    view: View
    solids: tuple[Solid, ...]
    seed: int


@dataclass(frozen=True, slots=True)
class Geometry:
    """What a survey found at each pixel, (height, width[, 3]) float32."""

    depth: Floats
    """Distance from the plane of the camera, in units; infinite where there is nothing."""
    normal: Floats
    """In the camera's axes: x right, y up, z towards the camera; length 1, or 0 where there is nothing."""
    albedo: Floats
    """Linear, 0-1."""


@dataclass(slots=True, kw_only=True, eq=False)
class InTurns:
    """An exposure that is rendered in turns of a few seconds: in between the device does what is more urgent."""

    exposure: Take | Contrast
    report: Callable[[float], None]
    """Told the share of the light that is traced, 0-1, on the device thread."""

    @property
    def turns(self) -> int:
        """How many, about."""
        take = self.exposure.take if isinstance(self.exposure, Contrast) else self.exposure
        paths = take.view.width * take.view.height * take.samples
        return max(1, round(paths / PATHS_AT_ONCE))


class Renderer:
    """A `Model` of the engine. A Take or a Contrast gives a Light, a Survey a Geometry.

    InTurns gives what its exposure does. It has begun one at most: a set takes hundreds of MiB while it is rendered.
    """

    max_batch = 1

    def __init__(self, variant: str) -> None:
        self.variant = variant
        self.guide_samples = GUIDE_SAMPLES[variant]
        self.blurred = BLURRED[variant]
        self._begun: tuple[InTurns, Steps[Light]] | None = None

    def run(self, payloads: Sequence[Take | Contrast | Survey | InTurns]) -> list[Light | Geometry | Unfinished]:
        import mitsuba as mi

        mi.set_variant(VARIANTS[self.variant])
        mi.set_log_level(mi.LogLevel.Error)  # it warns of every number of paths that is no product
        return [self._turn(mi, payload) for payload in payloads]

    def forget(self) -> None:
        """Let go of what was begun, if anything was."""
        self._begun = None
        _give_memory_back()

    def _turn(self, mi: Any, payload: Take | Contrast | Survey | InTurns) -> Light | Geometry | Unfinished:
        if isinstance(payload, InTurns):
            return self._next(mi, payload)
        try:
            return self._survey(mi, payload) if isinstance(payload, Survey) else _ended(self._steps(mi, payload))
        finally:
            _give_memory_back()

    def _next(self, mi: Any, payload: InTurns) -> Light | Unfinished:
        if self._begun is None or self._begun[0] is not payload:
            self._begun = payload, self._steps(mi, payload.exposure)
        _, steps = self._begun
        try:
            payload.report(next(steps))
        except StopIteration as ended:
            self.forget()
            light: Light = ended.value
            return light
        except BaseException:
            self.forget()
            raise
        return UNFINISHED

    def _steps(self, mi: Any, exposure: Take | Contrast) -> Steps[Light]:
        return self._expose(mi, exposure) if isinstance(exposure, Take) else self._contrast(mi, exposure)

    def _expose(self, mi: Any, take: Take) -> Steps[Light]:
        guide, detail, noisy = yield from self._looked(mi, take)
        return Light(self._clean(take, noisy, guide), guide.albedo, detail)

    def _looked(self, mi: Any, take: Take) -> Steps[tuple[Guide, Floats | None, Floats]]:
        """All that is seen of a set, whose memory goes when this returns."""
        made: Made = {}
        looks = self._looks(mi, take, made)
        detail = None if take.detail is None else _detail(mi, take, take.detail, made)
        scene = _lit(mi, take, made)  # kept: where it ends, Mitsuba waits for its paths
        paths = _paths(mi, take, scene)
        paths.begin()
        guide = _guide(looks)  # one core evens it while the others trace
        return guide, detail, (yield from _traced(paths))

    def _clean(self, take: Take, noisy: Floats, guide: Guide) -> Floats:
        """Linear light without its noise. The denoiser takes as much memory as the paths did: theirs goes first."""
        _give_memory_back()
        return denoise(without_fireflies(noisy), guide, blurred=take.aperture >= self.blurred)

    def _looks(self, mi: Any, take: Take, made: Made) -> Looks:
        samples = max(self.guide_samples, min(int(take.samples * LOOKS), MOST_LOOKS))
        raised = {} if self.variant == "scalar" else reliefs(take.view, take.aperture, take.solids)
        scene = coloured(mi, take.view, take.aperture, take.solids, made, raised)
        if not raised:
            return _colours(mi, scene, take.view, take.aperture, samples, take.seed, take.unseen), None
        albedo, relief, blur = mean_colour_relief_and_blur(
            mi, scene, samples, take.seed, take.view, take.aperture, take.unseen
        )
        return np.clip(albedo, 0, 1), (relief, blur)

    def _contrast(self, mi: Any, contrast: Contrast) -> Steps[Light]:
        few = max(1, round(contrast.take.samples * CONTRAST_SAMPLES))
        empty = yield from self._empty(mi, contrast, few)
        take = contrast.take
        made: Made = {}
        scene = _lit(mi, take, made)
        # All of it: another number of paths would be other paths than those of the empty set.
        light = without_fireflies((yield from _light(mi, replace(take, samples=few, unseen=None), scene)))
        colour, box = catalogue.added(empty, light, contrast.hidden)
        if box.width and box.height:
            window = _window(take, box)
            guide = empty.guide.within(box, contrast.hidden)
            noisy = yield from _light(mi, window, scene)
            colour = catalogue.set_in(colour, box, self._clean(window, noisy, guide))
        bare = contrast.bare
        return Light(colour, empty.guide.albedo, None if bare.detail is None else _detail(mi, bare, bare.detail, made))

    def _empty(self, mi: Any, contrast: Contrast, few: int) -> Steps[catalogue.Empty]:
        bare = replace(contrast.bare, detail=None)
        many = max(bare.samples, min(bare.samples * EMPTY_SAMPLES, MOST_EMPTY_SAMPLES))
        how = (mi.__version__, self.variant, self.guide_samples, many, few)
        key = catalogue.fingerprint(catalogue.VERSION, *how, bare)
        if (kept := catalogue.read(contrast.folder, key)) is not None:
            return kept
        made: Made = {}
        guide, scene = _guide(self._looks(mi, bare, made)), _lit(mi, bare, made)
        first = without_fireflies((yield from _light(mi, replace(bare, samples=few), scene)))
        noisy = yield from _light(mi, replace(bare, samples=many), scene)
        del scene, made
        empty = catalogue.Empty(self._clean(bare, noisy, guide), first, guide)
        catalogue.keep(contrast.folder, key, empty)
        return empty

    def _survey(self, mi: Any, survey: Survey) -> Geometry:
        scene = coloured(mi, survey.view, 0.0, survey.solids, {})
        albedo = _colours(mi, scene, survey.view, 0.0, self.guide_samples, survey.seed)
        return Geometry(*_shape(mi, scene, survey), albedo)


def _give_memory_back() -> None:
    """Dr.Jit and the C library keep what was freed for later: half a gigabyte of a picture of a megapixel, and some 70 MiB more
    with every set they have not seen before. To get it all again takes the next picture half a second where the kernel hands
    memory out in small pages (see `engine.client`), and next to nothing where it has large ones."""
    import drjit

    drjit.flush_malloc_cache()
    heap.trim()


def _window(take: Take, box: Box) -> Take:
    unseen = None if take.unseen is None else take.unseen[box.top : box.bottom, box.left : box.right]
    return replace(take, view=take.view.cropped(box.left, box.top, box.width, box.height), unseen=unseen)


def _lit(mi: Any, take: Take, made: Made) -> Any:
    return lit(mi, take.view, take.aperture, take.solids, take.emitters, made)


def _detail(mi: Any, take: Take, view: View, made: Made) -> Floats:
    scene = coloured(mi, view, 0.0, take.solids, made)
    unseen = take.unseen
    if unseen is not None:
        rows, columns = np.arange(view.height) * len(unseen), np.arange(view.width) * unseen.shape[1]
        unseen = unseen[np.ix_(rows // view.height, columns // view.width)]
    return _colours(mi, scene, view, 0.0, DETAIL_SAMPLES, take.seed, unseen)


def _guide(looks: Looks) -> Guide:
    albedo, relief_and_blur = looks
    return Guide(albedo, None if relief_and_blur is None else evened(*relief_and_blur))


def _paths(mi: Any, take: Take, scene: Any) -> Tracing:
    """Those of a lit set."""
    camera = mi.load_dict(sensor(mi, take.view, take.aperture))
    return mean_light(mi, scene, take.depth, take.samples, take.seed, camera, take.unseen)


def _traced(paths: Tracing) -> Steps[Floats]:
    """Linear light with its noise, of paths that were begun."""
    while paths.done < 1:
        paths.wait()
        yield paths.done
        paths.begin()
    colour = paths.mean()
    if not np.isfinite(colour).any():
        raise JobError("the renderer returned no light at all")
    return colour


def _light(mi: Any, take: Take, scene: Any) -> Steps[Floats]:
    paths = _paths(mi, take, scene)
    paths.begin()
    return (yield from _traced(paths))


def _ended(steps: Steps[T]) -> T:
    """What they come to, without a pause."""
    while True:
        try:
            next(steps)
        except StopIteration as ended:
            result: T = ended.value
            return result


def _colours(
    mi: Any,
    scene: Any,
    view: View,
    aperture: float,
    samples: int,
    seed: int,
    unseen: npt.NDArray[np.bool_] | None = None,
) -> Floats:
    camera = mi.load_dict(sensor(mi, view, aperture))
    return np.clip(mean_colour(mi, scene, samples, seed, camera, unseen), 0, 1)


def _shape(mi: Any, scene: Any, survey: Survey) -> tuple[Floats, Floats]:
    """Depth and normals of what is seen."""
    view = survey.view
    aov = mi.load_dict({"type": "aov", "aovs": "depth:depth,normal:sh_normal"})
    found = np.array(mi.render(scene, integrator=aov, spp=1, seed=survey.seed % 2**32), np.float32)
    along, normal = found[..., -4], found[..., -3:]
    y, x = np.mgrid[0 : view.height, 0 : view.width] + 0.5
    rays = view.rays(x, y)
    seen = along > 0
    depth = np.where(seen, along / np.linalg.norm(rays, axis=-1), np.inf)
    towards = np.where((normal * rays).sum(axis=-1, keepdims=True) > 0, -normal, normal)
    axes = np.stack([view.right, view.up, np.negative(view.forward)], axis=-1)
    turned = towards @ axes
    length = np.linalg.norm(turned, axis=-1, keepdims=True)
    unit = np.where(seen[..., None] & (length > 0), turned / np.maximum(length, 1e-9), 0)
    return depth.astype(np.float32), unit.astype(np.float32)


def load(card: ModelCard, folder: Path, device: str) -> Renderer:
    """The renderer in the fastest variant that works here (see `variants.fastest`). Raises ModelUnavailable when none does."""
    return Renderer(fastest(card, folder, device))
