"""A collection as a ZIP: which files, under which names, with what manifest."""

from __future__ import annotations

import asyncio
from typing import Any

from pergai.db.tables import Status, now
from pergai.services.collections import Album
from pergai.storage.archive import Archive, Entry
from pergai.storage.files import FileStore


class Downloads:
    def __init__(self, files: FileStore) -> None:
        self._files = files

    async def collection(self, library: str, album: Album) -> Archive:
        """Completed images only; the manifest lists all items, and says which have no image."""
        rows = [item.generation for item in album.items if item.generation.status == Status.COMPLETED]
        entries = [
            Entry(library, row.result_key, title=f"{row.kind} {row.scene or ''} {row.id}", about=_about(row))
            for row in rows
        ]
        left_out = [
            {"generationId": str(item.generation_id), "status": item.generation.status}
            for item in album.items
            if item.generation.status != Status.COMPLETED
        ]
        about = {
            "collection": {"id": str(album.collection.id), "name": album.collection.name},
            "downloadedAt": now().isoformat(),
            "withoutImage": left_out,
        }
        return await asyncio.to_thread(Archive, self._files, entries, about)


def _about(row: Any) -> dict[str, Any]:
    report = row.report or {}
    return {
        "generationId": str(row.id),
        "productId": str(row.product_id),
        "kind": row.kind,
        "scene": row.scene,
        "prompt": row.prompt,
        "aiProvider": row.provider,
        "pipeline": row.pipeline,
        "model": row.model,
        "seed": row.seed,
        "width": row.width,
        "height": row.height,
        "sha256": report.get("sha256"),
        "createdAt": row.created_at.isoformat(),
    }
