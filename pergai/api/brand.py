"""The library's brand kit: what its scenes take when their requests leave it out."""

from datetime import datetime
from typing import Annotated

from litestar import Controller, get, put
from litestar.params import JSONBody
from msgspec import Meta, field

from pergai.api.problems import problem_responses
from pergai.api.wire import Reply, Request, ShortText
from pergai.db.tables import BrandKit
from pergai.services.brand import Brands
from pergai.services.keys import Caller

Colour = Annotated[str, Meta(pattern="^#[0-9a-fA-F]{6}$", examples=["#1f3b57"])]
Share = Annotated[float, Meta(ge=0, le=1)]


class SafeArea(Request):
    """A part of the picture, each over the side it lies along."""

    left: Share
    top: Share
    width: Annotated[float, Meta(gt=0, le=1)]
    height: Annotated[float, Meta(gt=0, le=1)]


class BrandKitRequest(Request):
    """The whole kit: what is left out is empty afterwards."""

    colours: Annotated[list[Colour], Meta(max_length=8)] = field(default_factory=list)
    """The most important one first: of the set's paper and paint; the second is the stand's."""
    scenes: Annotated[list[ShortText], Meta(max_length=16)] = field(default_factory=list)
    """Ids of templates for requests that name none; with `count` they are taken in turn."""
    logo_safe_area: SafeArea | None = None
    """Stays free of the product."""


class BrandKitView(Reply):
    colours: list[str]
    scenes: list[str]
    logo_safe_area: SafeArea | None
    updated_at: datetime | None
    """None where no kit was ever set."""


class BrandKitController(Controller):
    path = "/brand-kit"
    tags = ("Brand kit",)

    @get(operation_id="getBrandKit", summary="The library's brand kit", responses=problem_responses(401))
    async def get_brand_kit(self, caller: Caller, brands: Brands) -> BrandKitView:
        return brand_kit_view(await brands.get(caller.library))

    @put(
        operation_id="putBrandKit",
        summary="Replace the library's brand kit",
        responses=problem_responses(400, 401, 403, 413, 422),
    )
    async def put_brand_kit(self, data: JSONBody[BrandKitRequest], caller: Caller, brands: Brands) -> BrandKitView:
        kit = await brands.put(
            caller.library,
            colours=data.colours,
            scenes=data.scenes,
            safe_area=data.logo_safe_area.asked() if data.logo_safe_area else None,
        )
        return brand_kit_view(kit)


def brand_kit_view(kit: BrandKit) -> BrandKitView:
    area = kit.safe_area
    return BrandKitView(
        colours=kit.colours,
        scenes=kit.scenes,
        logo_safe_area=None if area is None else SafeArea(**area),
        updated_at=kit.updated_at,
    )
