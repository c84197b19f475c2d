"""Collections of generations, and their ZIP."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec
from litestar import Controller, Response, delete, get, post
from litestar import Request as HttpRequest
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromQuery, JSONBody
from litestar.response import Stream

from pergai.api.generations import GenerationView, generation_view
from pergai.api.links import BASE, Links
from pergai.api.lists import list_response
from pergai.api.problems import problem_responses
from pergai.api.wire import Id, Reply, Request, ShortText
from pergai.db.database import Database
from pergai.ids import parse_id
from pergai.services.collections import COLLECTION_ID, Album, Collections, Item
from pergai.services.downloads import Downloads
from pergai.services.generations import Generations
from pergai.services.keys import Caller


class CollectionCreate(Request):
    name: ShortText


class ItemCreate(Request):
    generation_id: Id


class ItemView(Reply):
    id: Id
    generation_id: Id
    created_at: datetime
    generation: GenerationView


class CountView(Reply):
    items: int


class CollectionView(Reply):
    id: Id
    name: str
    created_at: datetime
    count: CountView = msgspec.field(name="_count")
    items: list[ItemView]


def item_view(item: Item, links: Links, generations: Generations) -> ItemView:
    return ItemView(
        id=str(item.id),
        generation_id=str(item.generation_id),
        created_at=item.created_at,
        generation=generation_view(item.generation, links, generations),
    )


def collection_view(album: Album, links: Links, generations: Generations) -> CollectionView:
    return CollectionView(
        id=str(album.collection.id),
        name=album.collection.name,
        created_at=album.collection.created_at,
        count=CountView(items=album.count),
        items=[item_view(item, links, generations) for item in album.items],
    )


class CollectionsController(Controller):
    path = "/collections"
    tags = ("Collections",)

    @get(
        operation_id="listCollections",
        summary="List collections, each with its four newest items",
        responses={200: ResponseSpec(list[CollectionView]), **problem_responses(401, 422)},
    )
    async def list_collections(
        self,
        request: HttpRequest[Any, Any, Any],
        caller: Caller,
        links: Links,
        database: Database,
        collections: Collections,
        generations: Generations,
        limit: FromQuery[int | None] = None,
        cursor: FromQuery[str | None] = None,
    ) -> Response[Any]:
        async def view(rows: Sequence[Any]) -> list[Any]:
            return [collection_view(album, links, generations) for album in await collections.previews(rows)]

        query = collections.query(caller.library)
        return await list_response(request, database, query, COLLECTION_ID, view, limit=limit, cursor=cursor)

    @post(
        operation_id="createCollection",
        summary="Create a collection",
        responses=problem_responses(400, 401, 403, 413, 422),
    )
    async def create_collection(
        self,
        data: JSONBody[CollectionCreate],
        caller: Caller,
        links: Links,
        collections: Collections,
        generations: Generations,
    ) -> Response[CollectionView]:
        album = await collections.create(caller.library, data.name)
        return Response(
            collection_view(album, links, generations),
            headers={"Location": f"{BASE}/collections/{album.collection.id}"},
        )

    @get(
        "/{collection_id:str}",
        operation_id="getCollection",
        summary="Retrieve a collection with all its items",
        responses=problem_responses(401, 404),
    )
    async def get_collection(
        self, collection_id: str, caller: Caller, links: Links, collections: Collections, generations: Generations
    ) -> CollectionView:
        album = await collections.get(caller.library, parse_id(collection_id))
        return collection_view(album, links, generations)

    @delete(
        "/{collection_id:str}",
        operation_id="deleteCollection",
        summary="Delete a collection; its images stay",
        responses=problem_responses(401, 403, 404),
    )
    async def delete_collection(self, collection_id: str, caller: Caller, collections: Collections) -> None:
        await collections.delete(caller.library, parse_id(collection_id))

    @post(
        "/{collection_id:str}/items",
        operation_id="addToCollection",
        summary="Add a generation; the same one again gives the same item",
        responses={
            200: ResponseSpec(ItemView, description="It was in the collection already", generate_examples=False),
            **problem_responses(400, 401, 403, 404, 413, 422),
        },
    )
    async def add_item(
        self,
        collection_id: str,
        data: JSONBody[ItemCreate],
        caller: Caller,
        links: Links,
        collections: Collections,
        generations: Generations,
    ) -> Response[ItemView]:
        item, new = await collections.add(caller.library, parse_id(collection_id), parse_id(data.generation_id))
        return Response(item_view(item, links, generations), status_code=201 if new else 200)

    @delete(
        "/{collection_id:str}/items/{item_id:str}",
        operation_id="removeFromCollection",
        summary="Take an item out of a collection; its image stays",
        responses=problem_responses(401, 403, 404),
    )
    async def remove_item(self, collection_id: str, item_id: str, caller: Caller, collections: Collections) -> None:
        await collections.remove(caller.library, parse_id(collection_id), parse_id(item_id))

    @get(
        "/{collection_id:str}/download",
        operation_id="downloadCollection",
        summary="All completed images of a collection as one ZIP with a manifest",
        responses={
            200: ResponseSpec(bytes, media_type="application/zip", generate_examples=False),
            **problem_responses(401, 404),
        },
    )
    async def download_collection(
        self, collection_id: str, caller: Caller, collections: Collections, downloads: Downloads
    ) -> Response[Any]:
        album = await collections.get(caller.library, parse_id(collection_id))
        archive = await downloads.collection(caller.library, album)
        return Stream(
            iter(archive),
            media_type="application/zip",
            headers={
                "Content-Length": str(archive.size),
                "Content-Disposition": 'attachment; filename="collection.zip"',
            },
        )
