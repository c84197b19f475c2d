"""Brand kits: what a library's scenes take when their requests leave it out. One a library."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import select

from pergai.cards.structs import SceneCard
from pergai.db.database import Database
from pergai.db.tables import BrandKit, now
from pergai.errors import FieldError, InvalidRequest

_B: Any = BrandKit.__table__  # type: ignore[attr-defined]
LARGEST_AREA = 0.5
"""Share of a picture that may stay free for a logo: the product needs the rest."""


class Brands:
    def __init__(self, database: Database, scenes: Mapping[str, SceneCard]) -> None:
        self._database = database
        self._scenes = scenes

    async def get(self, library: str) -> BrandKit:
        """The kit; an empty one where none was ever set."""
        async with self._database.read() as connection:
            row = (await connection.execute(select(_B).where(_B.c.library == library))).one_or_none()
        return BrandKit(library=library) if row is None else BrandKit(**row._mapping)

    async def put(
        self, library: str, *, colours: Sequence[str], scenes: Sequence[str], safe_area: Mapping[str, float] | None
    ) -> BrandKit:
        """Replace the kit. Raises InvalidRequest naming the field."""
        for number, id in enumerate(scenes):
            if id not in self._scenes:
                raise _wrong(f"/scenes/{number}", f"{id[:100]!r} is not a scene; choose of {', '.join(self._scenes)}")
        if safe_area is not None:
            _require_inside(safe_area)
        kit = BrandKit(
            library=library,
            colours=[colour.lower() for colour in colours],
            scenes=list(scenes),
            safe_area=None if safe_area is None else dict(safe_area),
            updated_at=now(),
        )
        async with self._database.write() as session:
            await session.merge(kit)
        return kit


def defaults(asked: Mapping[str, Any], kit: BrandKit, variant: int = 0) -> dict[str, Any]:
    """What is asked of a scene, with the kit filling what is left out: its sets in turn, one a variant; its colours; its
    safe area, unless the request says itself where the product goes. A shop's preset, or `brand_kit: false`, leaves the kit
    aside.
    """
    if asked.get("preset") or asked.get("brand_kit") is False:
        return dict(asked)
    placed = {name for name, value in (asked.get("placement") or {}).items() if value not in (None, "auto")}
    return {
        **asked,
        "scene": asked.get("scene") or (kit.scenes[variant % len(kit.scenes)] if kit.scenes else None),
        "colours": tuple(kit.colours),
        "safe_area": None if placed else kit.safe_area,
    }


def _require_inside(area: Mapping[str, float]) -> None:
    if area["left"] + area["width"] > 1 or area["top"] + area["height"] > 1:
        raise _wrong(
            "/logoSafeArea", "logoSafeArea reaches beyond the picture: left + width and top + height are at most 1"
        )
    if area["width"] * area["height"] > LARGEST_AREA:
        raise _wrong("/logoSafeArea", f"logoSafeArea may take at most {LARGEST_AREA:g} of the picture")


def _wrong(pointer: str, detail: str) -> InvalidRequest:
    return InvalidRequest(detail, errors=[FieldError(pointer, detail)])
