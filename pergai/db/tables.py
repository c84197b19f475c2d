"""The tables. A generation row is also the job: `queue.py` has the only SQL about their order."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import JSON, BigInteger, Column, Dialect, Index, MetaData, TypeDecorator, UniqueConstraint, text
from sqlmodel import Field, SQLModel

from pergai.ids import new_id

NAMING = {
    "ix": "ix_%(column_0_label)s",
    "uq": "uq_%(table_name)s_%(column_0_name)s",
    "pk": "pk_%(table_name)s",
}
SQLModel.metadata.naming_convention = NAMING  # migrations need stable names
metadata: MetaData = SQLModel.metadata


class Instant(TypeDecorator[datetime]):
    """A UTC time, stored as microseconds since 1970: exact, sortable, and the same through Core and ORM."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:  # noqa: ARG002
        return None if value is None else round(value.timestamp() * 1_000_000)

    def process_result_value(self, value: int | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        return None if value is None else datetime.fromtimestamp(value / 1_000_000, UTC)


def now() -> datetime:
    return datetime.now(UTC)


class Status(StrEnum):
    PENDING = "pending"
    PROCESSING = "processing"
    COMPLETED = "completed"
    FAILED = "failed"


class Library(SQLModel, table=True):
    """Whose products these are. Everything else belongs to one library."""

    name: str = Field(primary_key=True)
    webhook_secret: str
    created_at: datetime = Field(default_factory=now, sa_type=Instant)


class ApiKey(SQLModel, table=True):
    __tablename__ = "api_key"

    id: UUID = Field(default_factory=new_id, primary_key=True)
    library: str = Field(index=True)
    name: str
    sha256: str = Field(unique=True)
    """Of the whole key; the key itself is nowhere."""
    hint: str
    """The last four characters, to tell keys apart."""
    read_only: bool = False
    created_at: datetime = Field(default_factory=now, sa_type=Instant)
    revoked_at: datetime | None = Field(default=None, sa_type=Instant)


class BrandKit(SQLModel, table=True):
    """What a library's scenes take when their requests leave it out."""

    __tablename__ = "brand_kit"

    library: str = Field(primary_key=True)
    colours: list[str] = Field(default_factory=list, sa_column=Column(JSON, nullable=False))
    """ "#rrggbb", the most important one first."""
    scenes: list[str] = Field(default_factory=list, sa_column=Column(JSON, nullable=False))
    """Ids of scene cards."""
    safe_area: dict[str, float] | None = Field(default=None, sa_column=Column(JSON(none_as_null=True)))
    """left, top, width and height over the picture's sides."""
    updated_at: datetime | None = Field(default=None, sa_type=Instant, nullable=False)
    """None in a kit that was never stored."""


class Image(SQLModel, table=True):
    """A file in a library's storage: an upload or a result. Written after its file is on the disk."""

    __table_args__ = (UniqueConstraint("library", "key"),)

    id: UUID = Field(default_factory=new_id, primary_key=True)
    library: str
    key: str
    """Path inside the library's folder, e.g. `products/sample.png`."""
    sha256: str
    media_type: str
    bytes: int
    width: int
    height: int
    created_at: datetime = Field(default_factory=now, sa_type=Instant)


class Product(SQLModel, table=True):
    __table_args__ = (
        Index("ix_product_library_id", "library", "id"),
        Index("ix_product_library_category_id", "library", "category", "id"),
        Index("ix_product_library_image_key", "library", "image_key"),
    )

    id: UUID = Field(default_factory=new_id, primary_key=True)
    library: str
    name: str
    category: str
    image_key: str
    image_sha256: str
    width: int
    height: int
    created_at: datetime = Field(default_factory=now, sa_type=Instant)


_PENDING = text("status = 'pending'")
_SUSPECT = text("status = 'pending' AND crashes > 0")
_PROCESSING = text("status = 'processing'")


class Generation(SQLModel, table=True):
    __table_args__ = (
        Index("ix_generation_library_id", "library", "id"),
        Index("ix_generation_library_product_id", "library", "product_id", "id"),
        Index("ix_generation_library_status_id", "library", "status", "id"),
        Index("ix_generation_library_kind_id", "library", "kind", "id"),
        Index("ix_generation_pending", "library", "priority", "id", "crashes", "provider", sqlite_where=_PENDING),
        Index("ix_generation_suspect", "library", "priority", "id", sqlite_where=_SUSPECT),
        Index("ix_generation_processing", "id", sqlite_where=_PROCESSING),
    )

    id: UUID = Field(default_factory=new_id, primary_key=True)
    library: str
    product_id: UUID
    kind: str
    status: str = Status.PENDING
    priority: int = 1
    """0: a client is waiting; 1: everything else."""
    scene: str | None = None
    prompt: str | None = None
    negative_prompt: str | None = None
    provider: str
    pipeline: str
    model: str | None = None
    seed: int
    variant: int = 0
    request_id: UUID
    """The same for all variants of one request."""
    aspect_ratio: str | None = None
    width: int | None = None
    height: int | None = None
    format: str = "png"
    params: dict[str, Any] = Field(default_factory=dict, sa_column=Column(JSON, nullable=False))
    source_key: str
    source_sha256: str
    result_key: str | None = None
    error_code: str | None = None
    error_detail: str | None = None
    report: dict[str, Any] | None = Field(default=None, sa_column=Column(JSON))
    """What the engine said of the result: notes, words, details, fidelity, seconds."""
    webhook_url: str | None = None
    base_url: str | None = None
    """With a webhook: the address its request came to."""
    rerun_of: UUID | None = None
    """The generation whose request this repeats: always the first one, also when a rerun is run again."""
    crashes: int = 0
    """How often the engine died while this job was in it."""
    lone_crashes: int = 0
    """How often it died while this job was in it alone."""
    created_at: datetime = Field(default_factory=now, sa_type=Instant)
    started_at: datetime | None = Field(default=None, sa_type=Instant)
    completed_at: datetime | None = Field(default=None, sa_type=Instant)


class Collection(SQLModel, table=True):
    __table_args__ = (Index("ix_collection_library_id", "library", "id"),)

    id: UUID = Field(default_factory=new_id, primary_key=True)
    library: str
    name: str
    created_at: datetime = Field(default_factory=now, sa_type=Instant)


class CollectionItem(SQLModel, table=True):
    __tablename__ = "collection_item"
    __table_args__ = (UniqueConstraint("collection_id", "generation_id"),)

    id: UUID = Field(default_factory=new_id, primary_key=True)
    collection_id: UUID
    generation_id: UUID
    created_at: datetime = Field(default_factory=now, sa_type=Instant)


class IdempotencyKey(SQLModel, table=True):
    """The first answer to a request that may be sent again (Idempotency-Key header)."""

    __tablename__ = "idempotency_key"

    library: str = Field(primary_key=True)
    key: str = Field(primary_key=True)
    request_sha256: str
    generation_ids: list[str] = Field(default_factory=list, sa_column=Column(JSON, nullable=False))
    created_at: datetime = Field(default_factory=now, sa_type=Instant, index=True)


class WebhookDelivery(SQLModel, table=True):
    """The outbox: written in the transaction that ends the generation, so that no event is lost."""

    __tablename__ = "webhook_delivery"

    id: UUID = Field(default_factory=new_id, primary_key=True)
    library: str
    generation_id: UUID
    url: str
    event: str
    attempts: int = 0
    next_at: datetime | None = Field(default_factory=now, sa_type=Instant, index=True)
    """When to try (again); None when delivered or given up."""
    last_error: str | None = None
    created_at: datetime = Field(default_factory=now, sa_type=Instant)
