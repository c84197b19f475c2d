"""Pictures that are traced in passes, so that other work can be done meanwhile and in between."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

Look = Callable[[Any, Any], list[Any]]
"""What a sampler and a ray find, each a colour."""

TOO_FEW = "at least one sample is needed"
PATHS_AT_ONCE = 6_000_000
"""Paths that are traced in one go: three seconds' work for two cores. A picture of a megapixel has five a pixel."""
PART = 16
"""Paths a pixel that the scalar variant traces in one go: half a minute at a megapixel."""
SEED_STEP = 1_000_003
"""Between the seeds of two parts."""


class Tracing(Protocol):
    """Light that is being traced."""

    @property
    def done(self) -> float:
        """Share of the paths that are traced or begun, 0-1."""
        ...

    def begin(self) -> None:
        """`PATHS_AT_ONCE` more, or what is left. In the vectorised variants this returns at once, and they are traced
        meanwhile."""
        ...

    def wait(self) -> None:
        """Until what was begun is done."""
        ...

    def mean(self) -> Floats:
        """What all paths found on average, (height, width, 3). Begins what is left, and waits."""
        ...


class Parts:
    """A Tracing by an integrator of Mitsuba's own, `PART` paths a pixel in one go: the scalar variant's way.

    `render` takes a number of paths a pixel and a seed, and gives the mean of what they find.
    """

    def __init__(self, render: Callable[[int, int], Floats], samples: int, seed: int) -> None:
        if samples < 1:
            raise ValueError(TOO_FEW)
        self._render, self._samples, self._seed = render, samples, seed
        self._mean: Floats | None = None
        self._traced = 0

    @property
    def done(self) -> float:
        return self._traced / self._samples

    def begin(self) -> None:
        paths = min(PART, self._samples - self._traced)
        if not paths:
            return
        light = self._render(paths, self._seed + self._traced * SEED_STEP)
        self._traced += paths
        share = np.float32(paths / self._traced)
        self._mean = light if self._mean is None else self._mean + (light - self._mean) * share

    def wait(self) -> None: ...

    def mean(self) -> Floats:
        while self._mean is None or self.done < 1:
            self.begin()
        return self._mean


class Wavefronts:
    """A Tracing of all pixels at once, one path each in a pass: the paths of one pass are added up in any order, and with several
    of a pixel the last bits of floats differ from run to run.

    As `mi.render` does it, but that nothing of the film's size gets into the kernel, and all passes have the same: a compiler
    takes longer for a kernel than many a picture for its light, and so pictures of all sizes and the windows of a catalogue
    share one.
    """

    def __init__(self, mi: Any, camera: Any, samples: int, seed: int, look: Look, unseen: Mask | None = None) -> None:
        import drjit as dr

        if samples < 1:
            raise ValueError(TOO_FEW)
        self._width, self._height = (int(side) for side in camera.film().crop_size())
        self._seen = np.ones(self._width * self._height, bool) if unseen is None else ~unseen.ravel()
        self._index = dr.compress(mi.Bool(self._seen))
        self._pixels = dr.width(self._index)
        self._wide = dr.opaque(mi.UInt32, self._width)
        self._scale = mi.Vector2f(dr.opaque(mi.Float, 1 / self._width), dr.opaque(mi.Float, 1 / self._height))
        self._sampler = camera.sampler().clone()
        self._sampler.set_sample_count(samples)
        self._sampler.set_samples_per_wavefront(1)
        self._sampler.seed(seed % 2**32, self._pixels)
        self._sampler.schedule_state()
        self._mi, self._camera, self._samples, self._look = mi, camera, samples, look
        self._totals: list[Any] = []
        self._passes = 0

    @property
    def done(self) -> float:
        return self._passes / self._samples

    def begin(self) -> None:
        for _ in range(min(self._samples - self._passes, max(1, PATHS_AT_ONCE // self._pixels))):
            self._pass()

    def _pass(self) -> None:
        import drjit as dr

        mi, camera, sampler = self._mi, self._camera, self._sampler
        row = self._index // self._wide
        at = (mi.Point2f(self._index - row * self._wide, row) + sampler.next_2d()) * self._scale
        lens = sampler.next_2d() if camera.needs_aperture_sample() else mi.Point2f(0.5)
        ray, weight = camera.sample_ray_differential(0.0, 0.0, at, lens)
        ray.scale_differential(self._samples**-0.5)
        found = self._look(sampler, ray)
        if not self._totals:
            self._totals = [dr.zeros(mi.Color3f, self._pixels) for _ in found]
            dr.make_opaque(self._totals)
        self._totals = [total + weight * seen for total, seen in zip(self._totals, found, strict=True)]
        sampler.advance()
        sampler.schedule_state()
        dr.eval(self._totals)
        self._passes += 1

    def wait(self) -> None:
        import drjit as dr

        dr.sync_thread()

    def mean(self) -> Floats:
        return self.means()[0]

    def means(self) -> list[Floats]:
        """Of all that the looks found."""
        while self.done < 1:
            self.begin()
        planes = [
            [np.asarray(plane, np.float32) / np.float32(self._samples) for plane in total] for total in self._totals
        ]
        return [np.stack([self._in_place(plane) for plane in found], axis=-1) for found in planes]

    def _in_place(self, found: Floats) -> Floats:
        """What was found where it was seen, and its mean elsewhere."""
        plane = found
        if len(found) < len(self._seen):
            plane = np.full(len(self._seen), np.nanmean(found), np.float32)
            plane[self._seen] = found
        return plane.reshape(self._height, self._width)
