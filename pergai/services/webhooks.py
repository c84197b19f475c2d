"""Webhooks after the Standard Webhooks specification: an outbox row in the transaction that ends the generation, then deliveries
with growing pauses until one is answered 2xx.

Private addresses are refused unless allowed, the checked address is the one that is called, and redirects are not followed.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import ipaddress
import socket
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import httpx
import msgspec
import structlog
from sqlalchemy import Row, select
from sqlalchemy.ext.asyncio import AsyncSession

from pergai.db.database import Database
from pergai.db.tables import Generation, Library, Status, WebhookDelivery, now
from pergai.errors import FieldError, InvalidRequest
from pergai.settings import WebhookSettings
from pergai.storage.signing import Signer
from pergai.telemetry.metrics import Metrics

log = structlog.get_logger(__name__)

_W: Any = WebhookDelivery.__table__  # type: ignore[attr-defined]
FIRST_PAUSE_SECONDS = 5.0


def require_allowed(url: str, settings: WebhookSettings) -> None:
    """What can be said of an address without asking the network. Raises InvalidRequest."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    detail = ""
    if parts.scheme not in ("http", "https") or not host or parts.username is not None:
        detail = "webhookUrl must be an http or https address without a user name"
    elif not settings.allow_private and (host == "localhost" or _is_private(host)):
        detail = "webhookUrl must not be an address of a private network (webhooks.allow_private allows it)"
    if detail:
        raise InvalidRequest(detail, errors=[FieldError("/webhookUrl", detail)])


def enqueue(session: AsyncSession, generation: Row[Any]) -> None:
    """Write the outbox row of an ended generation (as db/queue.py gives it), if it has a webhook."""
    if generation.webhook_url:
        session.add(
            WebhookDelivery(
                library=generation.library,
                generation_id=generation.id,
                url=generation.webhook_url,
                event=f"generation.{generation.status}",
            )
        )


def sign(secret: str, id: str, timestamp: int, body: bytes) -> str:
    """The `webhook-signature` header: v1 and base64 of HMAC-SHA256 over `id.timestamp.body`."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = hmac.digest(key, f"{id}.{timestamp}.".encode() + body, hashlib.sha256)
    return f"v1,{base64.b64encode(signed).decode()}"


class Webhooks:
    """Delivers the outbox. `run()` until cancelled."""

    def __init__(
        self, *, database: Database, settings: WebhookSettings, signer: Signer, metrics: Metrics, public_url: str
    ) -> None:
        self._database = database
        self._settings = settings
        self._signer = signer
        self._metrics = metrics
        self._public_url = public_url

    async def run(self) -> None:
        async with httpx.AsyncClient(
            timeout=self._settings.timeout_seconds, follow_redirects=False, trust_env=False
        ) as client:
            while True:
                try:
                    delivered = await self._deliver_due(client)
                except Exception:
                    log.exception("the webhook outbox could not be read")
                    delivered = 0
                await asyncio.sleep(0.1 if delivered else 1.0)

    async def _deliver_due(self, client: httpx.AsyncClient) -> int:
        due = select(_W).where(_W.c.next_at <= now()).order_by(_W.c.next_at).limit(16)
        async with self._database.read() as connection:
            rows = (await connection.execute(due)).all()
        await asyncio.gather(*(self._deliver(client, row) for row in rows))
        return len(rows)

    async def _deliver(self, client: httpx.AsyncClient, row: Any) -> None:
        async with self._database.read() as connection:
            generation = (
                await connection.execute(
                    select(Generation.__table__).where(  # type: ignore[attr-defined]
                        Generation.__table__.c.id == row.generation_id  # type: ignore[attr-defined]
                    )
                )
            ).one_or_none()
            secret = (
                await connection.execute(
                    select(Library.__table__.c.webhook_secret).where(  # type: ignore[attr-defined]
                        Library.__table__.c.name == row.library  # type: ignore[attr-defined]
                    )
                )
            ).scalar_one()
        error = "the generation is gone"
        if generation is not None:
            error = await self._post(client, row, secret, self._body(row.event, generation))
        async with self._database.write() as session:
            delivery = await session.get(WebhookDelivery, row.id)
            if delivery is None:
                return
            delivery.attempts += 1
            delivery.last_error = error or None
            given_up = delivery.attempts >= self._settings.attempts or generation is None
            pause = timedelta(seconds=FIRST_PAUSE_SECONDS * 3 ** (delivery.attempts - 1))
            delivery.next_at = None if not error or given_up else now() + pause
        outcome = "delivered" if not error else "given_up" if given_up else "failed"
        self._metrics.webhook_deliveries_total.labels(outcome=outcome).inc()
        if error:
            log.warning("webhook not delivered", delivery=str(row.id), attempts=row.attempts + 1, error=error)

    async def _post(self, client: httpx.AsyncClient, row: Any, secret: str, body: bytes) -> str:
        """ "" when it was taken; else why not."""
        timestamp = int(datetime.now(UTC).timestamp())
        parts = urlsplit(row.url)
        try:
            address = await self._resolve(parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80))
            url = httpx.URL(row.url).copy_with(host=address)
            answer = await client.post(
                url,
                content=body,
                headers={
                    "Host": parts.netloc.rpartition("@")[2],
                    "Content-Type": "application/json",
                    "User-Agent": "pergai",
                    "webhook-id": str(row.id),
                    "webhook-timestamp": str(timestamp),
                    "webhook-signature": sign(secret, str(row.id), timestamp, body),
                },
                extensions={"sni_hostname": parts.hostname},
            )
        except (OSError, httpx.HTTPError, ValueError) as error:
            return f"{type(error).__name__}: {error}"[:200]
        return "" if answer.is_success else f"answered {answer.status_code}"

    async def _resolve(self, host: str, port: int) -> str:
        """One address of the host. Raises ValueError when it has a private one, for the next look-up might give that."""
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        addresses = [str(entry[4][0]) for entry in found]
        if not self._settings.allow_private and any(_is_private(address) for address in addresses):
            raise ValueError("the host has an address of a private network")
        return addresses[0]

    def _body(self, event: str, generation: Any) -> bytes:
        result = None
        if generation.status == Status.COMPLETED:
            signed = self._signer.sign(generation.library, generation.result_key)
            result = f"{self._public_url or generation.base_url or ''}{signed}"
        return msgspec.json.encode(
            {
                "type": event,
                "timestamp": now(),
                "data": {
                    "id": str(generation.id),
                    "productId": str(generation.product_id),
                    "requestId": str(generation.request_id),
                    "kind": generation.kind,
                    "status": generation.status,
                    "resultImagePath": result,
                    "error": {"code": generation.error_code, "detail": generation.error_detail}
                    if generation.error_code
                    else None,
                },
            }
        )


_NAT64 = ipaddress.ip_network("64:ff9b::/96")


def _is_private(host: str) -> bool:
    """Whether an address is one that only a network of ours can reach, also when IPv6 wraps it (mapped, 6to4, Teredo,
    NAT64)."""
    try:
        address = ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    inner: ipaddress.IPv4Address | ipaddress.IPv6Address | None = None
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else None)
        if address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    if inner is not None:
        return _is_private(str(inner))
    return not address.is_global or address.is_multicast
