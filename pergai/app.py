"""The API process: the one file that knows all its parts. `create_app` puts them together, `serve` runs them.

At start: the data folder's lock, migrations, keys, what a dead process left behind, then the engine process. On SIGTERM: nothing
new is taken, waiting clients are answered, running jobs end, the rest goes back to the queue.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import structlog
import uvicorn
from litestar import Litestar, Router
from litestar.datastructures import State
from litestar.di import Provide
from litestar.exceptions import HTTPException

from pergai.api import problems
from pergai.api.auth import RateLimiter, provide_caller, require_key
from pergai.api.body import BodyRequest
from pergai.api.brand import BrandKitController
from pergai.api.collections import CollectionsController
from pergai.api.cors import cors_config
from pergai.api.deadlines import DeadlineProtocol
from pergai.api.docs import openapi_config, static_router
from pergai.api.files import get_file, head_file
from pergai.api.generations import GenerationsController, provide_job_desk
from pergai.api.head import HeadAsGet
from pergai.api.links import BASE, provide_links
from pergai.api.observe import Observe
from pergai.api.operations import get_metrics, healthz, readyz
from pergai.api.presets import list_presets
from pergai.api.products import ProductsController, list_categories
from pergai.api.providers import list_providers
from pergai.api.templates import list_templates, previews_router
from pergai.api.tools import ToolsController
from pergai.api.uploads import upload_image
from pergai.cards.catalogue import load_catalogue
from pergai.db.database import Database
from pergai.db.migrations import upgrade
from pergai.engine.client import EngineClient
from pergai.engine.wire import boot_of
from pergai.errors import PergaiError
from pergai.imaging.credentials import load_identity
from pergai.services.admin import admin_door, duties
from pergai.services.brand import Brands
from pergai.services.collections import Collections
from pergai.services.dispatcher import Dispatcher
from pergai.services.downloads import Downloads
from pergai.services.events import Events
from pergai.services.generations import Generations
from pergai.services.images import Images
from pergai.services.janitor import Janitor
from pergai.services.keys import DEFAULT_LIBRARY, Keys
from pergai.services.products import Products
from pergai.services.providers import Providers
from pergai.services.readiness import Readiness
from pergai.services.webhooks import Webhooks
from pergai.settings import MIB, Settings
from pergai.storage.files import FileStore
from pergai.storage.lock import lock_home
from pergai.storage.signing import Signer
from pergai.telemetry import logs
from pergai.telemetry.metrics import Metrics

log = structlog.get_logger(__name__)


def create_app(settings: Settings) -> Litestar:
    """The whole API process as an ASGI application. Its lifespan holds the data folder's lock and the engine process.

    Raises SettingsError or CardError when the profile or a card is wrong.
    """
    # A wrong certificate must show now, not in the first picture.
    load_identity(settings.credentials.certificate, settings.credentials.key)
    home = settings.paths
    home.create()
    catalogue = load_catalogue(home)
    database = Database(home.database)
    files = FileStore(home)
    signer = Signer(home, lifetime_s=settings.storage.url_seconds)
    metrics = Metrics()
    events = Events()
    keys = Keys(database)
    providers = Providers(settings, catalogue)
    images = Images(database, files, settings)
    dispatcher = Dispatcher(database=database, files=files, events=events, metrics=metrics, jobs=settings.engine.jobs)
    engine = EngineClient(
        boot_of(settings),
        dispatcher,
        start_seconds=settings.engine.start_seconds,
        hang_seconds=settings.engine.hang_seconds,
    )
    dispatcher.attach(engine)
    products = Products(
        database=database,
        files=files,
        images=images,
        dispatcher=dispatcher,
        categories=catalogue.categories.values(),
        settings=settings,
    )
    brands = Brands(database, catalogue.scenes)
    generations = Generations(
        database=database,
        brands=brands,
        catalogue=catalogue,
        providers=providers,
        images=images,
        events=events,
        dispatcher=dispatcher,
        settings=settings,
    )
    webhooks = Webhooks(
        database=database,
        settings=settings.webhooks,
        signer=signer,
        metrics=metrics,
        public_url=settings.server.public_url,
    )
    janitor = Janitor(database=database, files=files, metrics=metrics, settings=settings.storage)
    readiness = Readiness(database=database, images=images, providers=providers, engine=engine, dispatcher=dispatcher)

    @asynccontextmanager
    async def lifespan(app: Litestar) -> AsyncIterator[None]:  # noqa: ARG001
        async with AsyncExitStack() as stack:
            stack.enter_context(lock_home(home))
            await asyncio.to_thread(upgrade, home.database)
            stack.push_async_callback(database.close)
            await asyncio.to_thread(files.sweep_temp, 0)  # of a process that is gone: the lock is ours
            first = await keys.create_first()
            if first is not None:
                await images.lay_sample(DEFAULT_LIBRARY)
                print(f"\n  Your API key (shown only this once): {first.key}\n", flush=True)
            if released := await dispatcher.recover():
                log.warning("jobs of a dead process go back to the queue", jobs=released)
            await stack.enter_async_context(admin_door(home, duties(database, keys, files)))
            tasks = [
                asyncio.create_task(engine.run(), name="engine"),
                asyncio.create_task(dispatcher.run(), name="dispatcher"),
                asyncio.create_task(webhooks.run(), name="webhooks"),
                asyncio.create_task(janitor.run(), name="janitor"),
            ]
            for task in tasks:
                task.add_done_callback(_report_death)
            try:
                yield
            finally:
                events.close()
                await dispatcher.drain(settings.server.drain_seconds)
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    parts: dict[str, Any] = {
        "settings": settings,
        "catalogue": catalogue,
        "database": database,
        "metrics": metrics,
        "events": events,
        "providers": providers,
        "images": images,
        "files": files,
        "signer": signer,
        "dispatcher": dispatcher,
        "products": products,
        "brands": brands,
        "generations": generations,
        "collections": Collections(database),
        "downloads": Downloads(files),
        "readiness": readiness,
    }
    external = Router(
        path=BASE,
        guards=[require_key],
        dependencies={
            "caller": Provide(provide_caller, sync_to_thread=False),
            "links": Provide(provide_links, sync_to_thread=False),
            "jobs": Provide(provide_job_desk, sync_to_thread=False),
        },
        route_handlers=[
            ProductsController,
            list_categories,
            GenerationsController,
            list_templates,
            list_presets,
            CollectionsController,
            ToolsController,
            BrandKitController,
            list_providers,
        ],
        request_max_body_size=settings.limits.body_kib * 1024,
    )
    uploads = Router(
        path=BASE,
        guards=[require_key],
        dependencies={"caller": Provide(provide_caller, sync_to_thread=False)},
        route_handlers=[upload_image],
        request_max_body_size=(settings.limits.upload_mib + 1) * MIB,
    )
    return Litestar(
        route_handlers=[
            external,
            uploads,
            get_file,
            head_file,
            healthz,
            readyz,
            get_metrics,
            static_router,
            previews_router,
        ],
        dependencies={name: Provide(_constant(part), sync_to_thread=False) for name, part in parts.items()},
        exception_handlers={
            PergaiError: problems.from_pergai,
            HTTPException: problems.from_http,
            Exception: problems.from_anything,
        },
        request_class=BodyRequest,
        cors_config=cors_config(settings.server.cors_origins),
        middleware=[Observe(metrics)],
        lifespan=[lifespan],
        openapi_config=openapi_config,
        logging_config=None,
        state=State(
            {
                "keys": keys,
                "rate_limiter": RateLimiter(settings.limits.requests_per_minute),
                "signer": signer,
                "public_url": settings.server.public_url,
                "events": events,
                "dispatcher": dispatcher,
            }
        ),
    )


def serve(settings: Settings) -> None:
    """Run the server until SIGINT or SIGTERM."""
    logs.configure(level=settings.log.level, format=settings.log.format)
    app = create_app(settings)
    config = uvicorn.Config(
        HeadAsGet(app),
        host=settings.host,
        port=settings.port,
        http=deadline_protocol(settings),
        ws="none",
        lifespan="on",
        limit_concurrency=settings.server.connections,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=int(settings.server.drain_seconds) + 5,
        proxy_headers=True,
        forwarded_allow_ips=settings.server.trusted_proxies,
        server_header=False,
        log_config=None,
        access_log=False,
    )
    listener = config.bind_socket()  # now: a port that is taken must show before a first key is made, shown and lost
    listener.set_inheritable(False)
    _Server(config, app).run(sockets=[listener])


class _Server(uvicorn.Server):
    """uvicorn, that tells the application of a signal at once: waiting clients are answered, and nothing new is taken, while
    connections still drain."""

    def __init__(self, config: uvicorn.Config, app: Litestar) -> None:
        super().__init__(config)
        self._app = app

    def handle_exit(self, sig: int, frame: Any) -> None:
        log.info("shutting down", signal=signal.Signals(sig).name)
        self._app.state.dispatcher.draining = True
        self._app.state.events.close()
        super().handle_exit(sig, frame)


def deadline_protocol(settings: Settings) -> type[DeadlineProtocol]:
    """uvicorn makes one protocol a connection from a class, so the deadlines are the class's."""

    class Configured(DeadlineProtocol):
        header_seconds = settings.server.header_seconds
        body_seconds = settings.server.body_seconds

    return Configured


def _constant(part: Any) -> Any:
    return lambda: part


def _report_death(task: asyncio.Task[Any]) -> None:
    """A background task never ends by itself; if one does, the log must say so."""
    if not task.cancelled() and (error := task.exception()) is not None:
        log.critical("a background task died", task=task.get_name(), exc_info=error)
