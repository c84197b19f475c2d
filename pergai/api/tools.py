"""Tools: each makes a generation of its kind and waits a while for it."""

from typing import Annotated, Literal

from litestar import Controller, Response, post
from litestar.params import JSONBody
from msgspec import Meta

from pergai.api.generations import JOB_RESPONSES, GenerationView, JobDesk
from pergai.api.job_requests import BitDepth, JobRequest, Ratio, Resolution
from pergai.api.wire import Prompt, ShortText
from pergai.settings import Settings

Side = Annotated[int, Meta(ge=1, le=32768)]


class RemoveBgRequest(JobRequest, kw_only=True):
    preset: ShortText | None = None
    """The id of a preset: it sets the size, puts the product into the middle and fills the fields that are left out."""
    background: Annotated[str, Meta(max_length=32)] | None = None
    """`#rrggbb`, transparent, white, black or grey; transparent when it is left out."""
    crop: bool = False
    """Crop to the product and its shadow."""
    margin: Annotated[float, Meta(ge=0, le=1)] | None = None
    """With `crop` or `preset`: free space on each side, as a share of the product's longer side."""
    mask_only: bool = False
    """The matte itself, as a grey image."""
    shadow: Literal["none", "soft", "hard"] = "none"
    """A rendered contact shadow, in the alpha channel or on the background."""
    bit_depth: BitDepth = 8
    """16 in PNG and TIFF: all there is of a source with 16 bits a channel."""


class UpscaleRequest(JobRequest, kw_only=True):
    scale: Annotated[str, Meta(max_length=8, examples=["1x", "2x", "4x"])] | None = None
    width: Side | None = None
    height: Side | None = None
    """The original's size as the client knows it; it is resized to that first when it differs."""
    use_sharp: bool | None = None
    """Pre-process with libvips, the engine Sharp binds (default), or with Pillow."""


class ExpandRequest(JobRequest, kw_only=True):
    ratio: Ratio
    prompt: Prompt | None = None
    resolution: Resolution | None = None


class ToolsController(Controller):
    path = "/tools"
    tags = ("Tools",)

    @post(
        "/remove-bg",
        operation_id="removeBackground",
        summary="Remove the background",
        status_code=202,
        responses=JOB_RESPONSES,
    )
    async def remove_background(
        self, data: JSONBody[RemoveBgRequest], jobs: JobDesk, settings: Settings
    ) -> Response[GenerationView]:
        return await jobs.answer(data, "remove-bg", default_wait=settings.tools.wait_seconds)

    @post("/upscale", operation_id="upscale", summary="Upscale or restore", status_code=202, responses=JOB_RESPONSES)
    async def upscale(
        self, data: JSONBody[UpscaleRequest], jobs: JobDesk, settings: Settings
    ) -> Response[GenerationView]:
        return await jobs.answer(data, "upscale", default_wait=settings.tools.wait_seconds)

    @post("/expand", operation_id="expand", summary="Expand to another ratio", status_code=202, responses=JOB_RESPONSES)
    async def expand(
        self, data: JSONBody[ExpandRequest], jobs: JobDesk, settings: Settings
    ) -> Response[GenerationView]:
        return await jobs.answer(data, "expand", default_wait=settings.tools.wait_seconds)
