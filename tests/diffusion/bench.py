"""What the tests of the diffusion engine share: requests on a real photo, the real device thread, and diffusers itself as
the judge."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import skimage.data
import torch
from diffusers import StableDiffusionControlNetInpaintPipeline, StableDiffusionXLControlNetInpaintPipeline
from PIL import Image

from pergai.cards.structs import HubSource, ModelCard
from pergai.engine.core import UNFINISHED, Model
from pergai.engine.device import DeviceLoop
from pergai.engine.scheduler import Work
from pergai.imaging.picture import RGB
from pergai.runners.diffusion import schedulers
from pergai.runners.diffusion.model import StepModel
from pergai.runners.diffusion.request import Painted, Request

SIDE = 64
PHOTO: RGB = np.ascontiguousarray(skimage.data.astronaut()[40 : 40 + SIDE, 180 : 180 + SIDE])
MASK = np.zeros((SIDE, SIDE), np.uint8)
MASK[:, 24:] = 255


def card(id: str, family: str = "diffusers", **options: object) -> ModelCard:
    return ModelCard(
        id=id,
        title=id,
        family=family,
        licence="MIT",
        source=HubSource(repository="studio/tiny", revision="0"),
        memory_mib=16,
        options={"max_batch": 32, **options} if family == "diffusers" else options,
    )


def request(**changes: Any) -> Request:
    given = {"prompt": "a red cup", "negative_prompt": "text", "steps": 4, "scheduler": "euler", "seed": 7, **changes}
    return Request(**{"image": PHOTO, "mask": MASK, **given})


def finish(model: Model, *requests: Request, **beside: Model) -> list[Painted]:
    """Run requests on a model, all of them in every step, with companions by their names."""
    for one in requests:
        one.beside.update({name: beside[name] for name in one.beside})
    results: dict[int, Painted] = {}
    while left := [request for request in requests if id(request) not in results]:
        for one, result in zip(left, model.run(left), strict=True):
            if result is not UNFINISHED:
                results[id(one)] = result
    return [results[id(one)] for one in requests]


def stock(model: StepModel, asked: Request, net: Any = None) -> RGB:
    """The picture diffusers' own pipeline call makes of a request, with the same weights (and ControlNet)."""
    pipeline = model._pipeline
    more: dict[str, Any] = {}
    if net is not None:
        assert asked.control is not None
        xl = hasattr(pipeline, "text_encoder_2")
        kind = StableDiffusionXLControlNetInpaintPipeline if xl else StableDiffusionControlNetInpaintPipeline
        pipeline = kind(controlnet=net, **pipeline.components, **({} if xl else {"requires_safety_checker": False}))
        pipeline.set_progress_bar_config(disable=True)
        more = {
            "control_image": Image.fromarray(asked.control.hint),
            "controlnet_conditioning_scale": asked.control.scale,
            "control_guidance_start": asked.control.start,
            "control_guidance_end": asked.control.end,
        }
    own = pipeline.scheduler
    pipeline.scheduler = schedulers.make(asked.scheduler, own.config)
    try:
        made = pipeline(
            prompt=asked.prompt,
            negative_prompt=asked.negative_prompt or None,
            image=Image.fromarray(asked.image),
            mask_image=Image.fromarray(asked.mask),
            height=asked.image.shape[0],
            width=asked.image.shape[1],
            num_inference_steps=asked.steps,
            guidance_scale=asked.guidance,
            strength=asked.strength,
            generator=torch.Generator("cpu").manual_seed(asked.seed),
            **more,
        )
    finally:
        pipeline.scheduler = own
    return np.asarray(made.images[0])


@dataclass
class Diary:
    """What the device did."""

    batches: list[int] = field(default_factory=list)

    def ran(self, model: str, size: int, seconds: float) -> None:
        self.batches.append(size)

    def loaded(self, model: str, mib: int, seconds: float) -> None: ...

    def unloaded(self, model: str) -> None: ...


@contextmanager
def device(model: Model, **beside: Model) -> Iterator[tuple[DeviceLoop, Diary]]:
    """The engine's device thread with one model, "painter", and its companions by their names."""
    loop, diary = _device({"painter": model, **beside})
    with _running(loop):
        yield loop, diary


def together(model: Model, waiting: Sequence[Work], **beside: Model) -> tuple[list[RGB], Diary]:
    """The pictures of work that waits already when the device begins."""
    loop, diary = _device({"painter": model, **beside})
    futures = [loop.submit(one) for one in waiting]
    with _running(loop):
        return [future.result(120).pixels for future in futures], diary


def _device(there: Mapping[str, Model]) -> tuple[DeviceLoop, Diary]:
    diary = Diary()
    loop = DeviceLoop(
        load=lambda name: (there[name], 16), stated_mib=lambda _: 16, release=lambda: None, budget_mib=64, watcher=diary
    )
    return loop, diary


@contextmanager
def _running(loop: DeviceLoop) -> Iterator[None]:
    loop.start()
    try:
        yield
    finally:
        loop.stop()
        loop.join(30)


def work(asked: Request, job: str = "job", library: str = "studio") -> Work:
    return Work(job=job, library=library, model="painter", shape=asked.shape, setup=asked.loras, payload=asked)


def apart(one: RGB, other: RGB) -> int:
    """The largest difference of two pictures, in 1/255."""
    return int(np.abs(one.astype(int) - other).max())


def relative(one: torch.Tensor, other: torch.Tensor) -> float:
    return float((one - other).norm() / other.norm())


def many(count: int) -> Sequence[Request]:
    """Requests that differ in everything but the shape of the picture."""
    names = list(schedulers.SCHEDULERS)
    return [
        request(
            scheduler=names[index % len(names)],
            steps=3 + index % 4,
            guidance=(7.5, 1.0, 3.0)[index % 3],
            strength=(1.0, 0.7)[index % 2],
            prompt=f"cup {index}",
            negative_prompt="text" if index % 2 else "",
            seed=index,
        )
        for index in range(count)
    ]
