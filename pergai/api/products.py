"""Products and their categories."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any

from litestar import Controller, Response, delete, get, post
from litestar import Request as HttpRequest
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromQuery, JSONBody
from msgspec import Meta

from pergai.api.links import BASE, Links
from pergai.api.lists import list_response
from pergai.api.problems import problem_responses
from pergai.api.wire import Id, Reply, Request, ShortText
from pergai.db.database import Database
from pergai.ids import parse_id
from pergai.services.keys import Caller
from pergai.services.products import PRODUCT_ID, Products


class ProductCreate(Request):
    name: ShortText
    category: Annotated[ShortText, Meta(description="One of `GET /categories`", examples=["clothing"])]
    image_path: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=300,
            description="A path in the library's own storage, as `POST /uploads` answers",
            examples=["products/sample.png"],
        ),
    ]


class ProductView(Reply):
    id: Id
    name: str
    category: str
    image_path: str
    """Signed URL."""
    width: int
    height: int
    created_at: datetime


class CategoryView(Reply):
    id: str
    title: str


def product_view(row: Any, links: Links) -> ProductView:
    return ProductView(
        id=str(row.id),
        name=row.name,
        category=row.category,
        image_path=links.file(row.library, row.image_key),
        width=row.width,
        height=row.height,
        created_at=row.created_at,
    )


class ProductsController(Controller):
    path = "/products"
    tags = ("Products",)

    @get(
        operation_id="listProducts",
        summary="List products",
        responses={200: ResponseSpec(list[ProductView]), **problem_responses(401, 422)},
    )
    async def list_products(
        self,
        request: HttpRequest[Any, Any, Any],
        caller: Caller,
        links: Links,
        database: Database,
        products: Products,
        category: FromQuery[str | None] = None,
        limit: FromQuery[int | None] = None,
        cursor: FromQuery[str | None] = None,
    ) -> Response[Any]:
        async def view(rows: Sequence[Any]) -> list[Any]:
            return [product_view(row, links) for row in rows]

        query = products.query(caller.library, category)
        return await list_response(request, database, query, PRODUCT_ID, view, limit=limit, cursor=cursor)

    @post(
        operation_id="createProduct",
        summary="Create a product",
        responses=problem_responses(400, 401, 403, 413, 422, 507),
    )
    async def create_product(
        self, data: JSONBody[ProductCreate], caller: Caller, links: Links, products: Products
    ) -> Response[ProductView]:
        product = await products.create(
            caller.library, name=data.name, category=data.category, image_path=data.image_path
        )
        return Response(product_view(product, links), headers={"Location": f"{BASE}/products/{product.id}"})

    @get(
        "/{product_id:str}",
        operation_id="getProduct",
        summary="Retrieve a product",
        responses=problem_responses(401, 404),
    )
    async def get_product(self, product_id: str, caller: Caller, links: Links, products: Products) -> ProductView:
        return product_view(await products.get(caller.library, parse_id(product_id)), links)

    @delete(
        "/{product_id:str}",
        operation_id="deleteProduct",
        summary="Delete a product; its generations stay",
        responses=problem_responses(401, 403, 404),
    )
    async def delete_product(self, product_id: str, caller: Caller, products: Products) -> None:
        await products.delete(caller.library, parse_id(product_id))


@get(
    "/categories",
    operation_id="listCategories",
    summary="List the product categories",
    tags=("Products",),
    responses=problem_responses(401),
)
async def list_categories(products: Products) -> list[CategoryView]:
    return [CategoryView(id=category.id, title=category.title) for category in products.categories]
