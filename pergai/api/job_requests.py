"""Bodies of the requests that make jobs: what all of them take, and what a scene takes."""

from typing import Annotated, Any, Literal

from msgspec import Meta

from pergai.api.wire import Id, Prompt, Request, ShortText
from pergai.engine.core import Anchor, Pose, Relight, Shadow, View
from pergai.errors import FieldError, InvalidRequest
from pergai.ids import parse_id

Format = Literal["png", "jpeg", "jpg", "webp", "avif", "tiff", "psd"]
Dpi = Annotated[int, Meta(ge=1, le=4800, examples=[300])]
BitDepth = Literal[8, 16]
Seed = Annotated[int, Meta(ge=0, le=2**53 - 1000)]
Count = Annotated[int, Meta(ge=1, le=64)]
Ratio = Annotated[str, Meta(min_length=1, max_length=32, examples=["1:1", "16:9"])]
Resolution = Annotated[str, Meta(min_length=1, max_length=32, examples=["1024x1024", "2k"])]
Provider = Annotated[str, Meta(min_length=1, max_length=100, examples=["nano-banana"])]
Url = Annotated[str, Meta(min_length=1, max_length=2000)]


class JobRequest(Request, kw_only=True):
    """What every request that makes a job takes."""

    product_id: Id
    ai_provider: Provider | None = None
    seed: Seed | None = None
    """The same seed gives the same picture; random when it is left out."""
    format: Format | None = None
    dpi: Dpi | None = None
    """Pixels an inch in print, kept in the file; the pixels stay the same."""
    webhook_url: Url | None = None

    def asked(self) -> dict[str, Any]:
        """With the names the services use."""
        fields = super().asked()
        fields["product_id"] = parse_id(self.product_id)
        fields["provider"] = fields.pop("ai_provider")
        fields["format"] = "jpeg" if self.format == "jpg" else self.format
        return fields


class PlacementRequest(Request):
    scale: Annotated[float, Meta(ge=0.05, le=1.5)] | None = None
    """Size of the product: its height over the canvas height, or its width over the canvas width, whichever is the tighter."""
    x: Annotated[float, Meta(ge=0, le=1)] | None = None
    """Centre of the product, 0 left to 1 right."""
    y: Annotated[float, Meta(ge=0, le=1)] | None = None
    """The anchor's height, 0 top to 1 bottom."""
    anchor: Anchor = "auto"


class SceneRequest(JobRequest, kw_only=True):
    product_id: Id | None = None  # type: ignore[assignment]
    """It may be left out with `productIds`."""
    product_ids: Annotated[list[Id], Meta(min_length=2, max_length=8)] | None = None
    """Several products as one group, arranged by size; the first is the record's `productId`."""
    scene: ShortText | None = None
    """The id of a template; `auto` lets `customPrompt` choose. It may be left out with a prompt, or a preset that has one."""
    preset: ShortText | None = None
    """The id of a preset: it fills the fields that are left out."""
    custom_prompt: Prompt | None = None
    negative_prompt: Prompt | None = None
    aspect_ratio: Ratio | None = None
    resolution: Resolution | None = None
    count: Count | None = None
    """Variants that differ on purpose."""
    bit_depth: BitDepth = 8
    """16 in PNG, TIFF and PSD: all there is of the rendered light, and of a source with 16 bits a channel."""
    placement: PlacementRequest | None = None
    view: View = "auto"
    """`auto`: as the scene has it, or as the photo itself was taken; the record's `details` say which and why."""
    shadow: Shadow = "auto"
    pose: Pose = "standing"
    """`lying` is seen from above, `hanging` hangs on a wall, `floating` keeps above the ground; each with its true shadow."""
    brand_kit: bool = True
    """Whether the library's brand kit fills what is left out; a preset leaves it aside in any case."""
    lock_camera: bool = False
    """The same set, camera and light for every product, whatever its shape or photo: for the pages of a catalogue. With the
    same `seed` (0 when it is left out), backgrounds are the same to the byte wherever the product changes nothing."""
    real_height_mm: Annotated[float, Meta(gt=0, le=100000)] | None = None
    """The product's real height: its size in the picture then follows from the scene's `frameMm`, which the picture's height
    shows at the product."""
    relight: Relight = "none"
    """`match` gives the product the colour, level and direction of the scene's light: its pixels then change, and the record
    says so."""

    def asked(self) -> dict[str, Any]:
        ids = self.product_ids or ([self.product_id] if self.product_id else [])
        if not ids or (self.product_id and self.product_id != ids[0]):
            detail = "productId is required" if not ids else "productId must be the first of productIds, or be left out"
            raise InvalidRequest(detail, errors=[FieldError("/productId", detail)])
        self.product_id = ids[0]
        fields = super().asked()
        fields["prompt"] = fields.pop("custom_prompt")
        fields["further_ids"] = [parse_id(id) for id in ids[1:]]
        del fields["product_ids"]
        return fields
