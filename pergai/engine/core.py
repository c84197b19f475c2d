"""Every noun of the engine: Job, its parameters, Outcome, Result, and what runners and models must offer.

No HTTP, no SQL, no torch. All are frozen dataclasses; msgspec puts Job, Progress and Result on the pipe.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar, runtime_checkable

import numpy as np
import numpy.typing as npt

from pergai.cards.structs import PipelineCard, SceneCard, Task
from pergai.imaging.layers import Layer
from pergai.imaging.picture import RGB, Alpha, Deep

T = TypeVar("T")

ImageFormat = Literal["png", "jpeg", "webp", "avif", "tiff", "psd"]
View = Literal["auto", "front", "three-quarter", "top"]
Shadow = Literal["auto", "none", "soft", "hard"]
Pose = Literal["standing", "lying", "hanging", "floating"]
Relight = Literal["none", "match"]
Anchor = Literal["auto", "bottom", "center", "top"]


# --- what a job asks for ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Where the product stands on the canvas. None leaves it to the scene."""

    scale: float | None = None
    """Height of the product's bounding box over the canvas height, 0.05-1.5; or its width over the canvas
    width, whichever is the tighter."""
    x: float | None = None
    """Centre of the product, 0 left - 1 right."""
    y: float | None = None
    """The anchor's height, 0 top - 1 bottom."""
    anchor: Anchor = "auto"
    """Which point of the product `y` places."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileParams:
    """What every kind of job may ask of its file, beyond the format."""

    preset: str = ""
    """Id of the preset card that filled what the request left out."""
    max_bytes: int = 0
    """Largest file; 0 sets no limit."""
    dpi: int = 0
    """Pixels an inch in print, kept in the file; 0 says nothing about it."""
    bit_depth: Literal[8, 16] = 8
    """Bits a channel of the file; 16 in PNG and TIFF only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Area:
    """A part of the picture, each over the side it lies along, 0-1."""

    left: float
    top: float
    width: float
    height: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Further:
    """A product beside the first one."""

    product: str
    """Its id."""
    source_key: str
    """Its image inside the library's folder."""
    source_sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SceneParams(FileParams):
    scene: str
    """Id of a scene card."""
    width: int
    height: int
    """The result's size in pixels."""
    prompt: str = ""
    negative_prompt: str = ""
    placement: Placement = field(default_factory=Placement)
    view: View = "auto"
    shadow: Shadow = "auto"
    pose: Pose = "standing"
    variant: int = 0
    """Which of the request's variants: 0 is the picture as it is without variants."""
    lock_camera: bool = False
    """The same set, camera and light for every product, whatever its shape."""
    real_height_mm: float = 0.0
    """The product's height in millimetres, which then decides its size in the picture; 0 when it is not known."""
    frame_mm: float = 400.0
    """How many millimetres the picture's height shows at the product."""
    relight: Relight = "none"
    """`match` gives the product the light of its scene; its pixels then differ from the source's on purpose."""
    further: tuple[Further, ...] = ()
    """The other products of a group."""
    safe_area: Area | None = None
    """Stays free of the product, for a logo."""
    colours: tuple[str, ...] = ()
    """Of the library's brand, "#rrggbb", the most important one first; the words of the prompt come before them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveBgParams(FileParams):
    background: str = ""
    """"" leaves it transparent; else "#rrggbb"."""
    crop: bool = False
    """Crop to the bounding box of the product and its shadow."""
    margin: float = 0.0
    """With `crop`: free space on each side, as a share of the longer side of the box, 0-1."""
    mask_only: bool = False
    """Answer the matte itself as a grey image."""
    shadow: Literal["none", "soft", "hard"] = "none"
    """A rendered contact shadow, in the alpha channel or on the background."""
    width: int = 0
    height: int = 0
    """The result's size in pixels, with the product in its middle; 0 leaves the product where and as large as it is."""
    fill: float = 1.0
    """With `width` and `height`: the product's share of the frame, of its height or its width, whichever is the tighter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UpscaleParams(FileParams):
    scale: Literal[1, 2, 4] = 1
    width: int | None = None
    height: int | None = None
    """The original's size as the client knows it: pre-processing resizes to it when it differs."""
    use_sharp: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpandParams(FileParams):
    width: int
    height: int
    """The result's size in pixels."""
    prompt: str = ""


Params = SceneParams | RemoveBgParams | UpscaleParams | ExpandParams


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One generation, as the engine sees it. `id` is the generation's id."""

    id: str
    kind: Task
    library: str
    pipeline: str
    provider: str
    source: str
    """Absolute path of the source image."""
    source_sha256: str
    further_sources: tuple[str, ...] = ()
    """Absolute paths of the other products' images."""
    params: dict[str, Any]
    """The fields of the kind's Params class; `parameters()` gives the class itself."""
    seed: int = 0
    """0 to 2**63 - 1. The same job with the same seed gives the same picture."""
    format: ImageFormat = "png"
    target: str = ""
    """Absolute path of the temporary file the result is written to."""
    rerun_of: str = ""
    """Id of the generation whose request this repeats; its file then names that one, to be the same to the byte."""
    alone: bool = False
    """A suspect of an earlier crash: nothing else may run beside it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """What must come through unchanged: the placed source and where it is checked."""

    pixels: RGB
    """At the result's size."""
    where: npt.NDArray[np.bool_]
    """(height, width): inside the eroded matte."""
    deep: Deep | None = None
    """`pixels` with 16 bits a channel, of a source that has them; None: its 8 bits are all there is."""
    relit: bool = False
    """The source's light was changed on purpose: `pixels` are what was made of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a runner gives back: a picture in memory, and what is to be known about it."""

    pixels: RGB
    alpha: Alpha | None = None
    grey: bool = False
    """Store one channel (a matte)."""
    deep: Deep | None = None
    """`pixels` with 16 bits a channel, for a job that asks for them."""
    layers: tuple[Layer, ...] = ()
    """What adds up to `pixels`, the bottom one first, for a job that asks for a PSD."""
    reference: Reference | None = None
    model: str = ""
    """Ids of the models used, joined by "+"."""
    ai_made: Literal["composite", "algorithmic", "enhanced"] = "composite"
    """Which IPTC DigitalSourceType the result carries (see `imaging/provenance.py`)."""
    notes: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    """The words of the prompt that were used."""
    details: Mapping[str, Any] = field(default_factory=dict)
    """Anything else worth keeping in the record: view decided, placement, camera."""


# --- what the engine answers -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    job: str
    fraction: float
    """0-1, never falling."""
    phase: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Fidelity:
    """The receipt: how far the stored file is from the placed source inside the eroded matte, in 1/255."""

    max_difference: int
    mean_difference: float
    checked_pixels: int
    against: Literal["source", "relit"] = "source"
    """The placed source, or what was made of it on purpose (`relight`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """A job that ended. `error` is "" when it completed; then the file at `target` is on the disk."""

    job: str
    target: str = ""
    error: str = ""
    """A code of `pergai.errors`."""
    detail: str = ""
    width: int = 0
    height: int = 0
    bytes: int = 0
    sha256: str = ""
    model: str = ""
    notes: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    details: dict[str, Any] = field(default_factory=dict)
    fidelity: Fidelity | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    """Work by phase: `cpu`, and each model by its id."""


# --- what runners and models must offer --------------------------------------------------------------


class Unfinished(Enum):
    """What a model gives back for a payload that needs another turn."""

    UNFINISHED = auto()


UNFINISHED = Unfinished.UNFINISHED


class Model(Protocol):
    """A set of weights on the device. Made, run and dropped on the engine's one device thread."""

    max_batch: int
    """How many payloads of one shape one call may take."""

    def run(self, payloads: Sequence[Any]) -> Sequence[Any]:
        """One result a payload, in order. Raises for the whole batch; the engine then tries each alone.

        A model that works in steps (diffusion) does one step and gives UNFINISHED for a payload that is not done: the payload
        keeps its own state, goes back to the scheduler, and shares its next step with whoever is there then. A call that
        raises must leave the state of its payloads as it was.
        """
        ...


@runtime_checkable
class Absorbed(Protocol):
    """A Model that does one payload after the other: from a payload's first turn to its last it takes no other, though the
    device may do other models' work in between. Should it have to leave meanwhile, it begins anew."""

    def forget(self) -> None:
        """Let go of what it has begun: that was cancelled."""
        ...


class Desk(Protocol):
    """What a runner may ask of the engine while it works on one job. Every wait is a point where the job
    can be cancelled."""

    cache: Path
    """A folder for what can be made again."""

    @property
    def pipeline(self) -> PipelineCard: ...

    def scene(self, id: str) -> SceneCard:
        """The scene card of this id. Raises JobError when it is gone."""
        ...

    async def cpu(self, work: Callable[..., T], *args: Any) -> T:
        """Run pure work on pixels in the CPU pool."""
        ...

    async def device(
        self, model: str, payload: Any, *, shape: Hashable = None, setup: Hashable = None, turns: int = 1
    ) -> Any:
        """Run one payload through a model (an id of a model card) on the device thread; payloads of the same
        model, shape and setup, of this job or of others, may share a batch. `setup`: how the model must be set up for it,
        where changing that takes time. `turns`: about how many calls a model that works in steps needs for it, so that short
        work need not wait behind long work."""
        ...

    def progress(self, fraction: float, phase: str) -> None: ...


class Runner(Protocol):
    """One way to make a picture. Stateless: everything about a job is in the Job and in local variables."""

    async def run(self, job: Job, desk: Desk) -> Outcome:
        """Raises JobError (or a subclass) when this job cannot be done."""
        ...
