"""`pergai doctor --full`: everything the profile can do is done once, on the sample photo, by a server of its own.

Each pipeline makes one small picture with a known seed, which is compared with the one that ships (`configs/references`); each
diffusion model is compared with diffusers' own pipeline.
"""

from __future__ import annotations

import asyncio
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt
import psutil
from PIL import Image

from pergai.cards import weights
from pergai.cards.catalogue import load_catalogue
from pergai.cards.structs import Task
from pergai.demo.client import Api, Record
from pergai.demo.server import server
from pergai.errors import PergaiError
from pergai.paths import packaged
from pergai.runners.diffusion.check import against_stock
from pergai.runners.hardware import find_hardware
from pergai.services.admin import administer
from pergai.services.doctor import Finding, Level
from pergai.services.keys import NewKey
from pergai.services.providers import Providers
from pergai.settings import MIB, Settings

PRODUCT = {"name": "Red cup", "category": "home", "imagePath": "products/sample.png"}
ASKED: dict[Task, tuple[str, Record]] = {
    "remove-bg": ("/tools/remove-bg", {}),
    "upscale": ("/tools/upscale", {"scale": "2x", "width": 120, "height": 80}),
    "scene": ("/generations", {"scene": "marble", "resolution": "192x192"}),
    "expand": ("/tools/expand", {"ratio": "16:9", "resolution": "720x405"}),
}
SEED = 7
REFERENCE_SIDE = 96
"""Pixels of a reference's longer side."""
ALIKE = 4.0
"""Mean difference to a reference, of 255, that another renderer variant, processor or thread count explains."""
EQUAL = {"cpu": 1, "cuda": 3}
"""Largest difference to stock diffusers, of 255: rounding in float32; in half precision a little more."""


def trial(settings: Settings, *, keep: Path | None = None) -> list[Finding]:
    """Fetch what is missing, do every pipeline's work once, compare. `keep`: a folder for the pictures, small, as
    references of their own.

    Raises HomeLocked or NotReady when no server can be started.
    """
    found = list(_pulled(settings))
    with tempfile.TemporaryDirectory(prefix="pergai-doctor-") as folder:
        home = _borrowed(settings, Path(folder) / "home")
        key = asyncio.run(administer(home.paths, "keys.create", NewKey, name="doctor"))
        with server(home, Path(folder) / "server.log") as origin:
            found += _works(home, Api(origin, key.key), Path(folder), keep)
    return found + list(_stock(settings))


def _pulled(settings: Settings) -> Iterator[Finding]:
    """The weights the profile wants, fetched where they are missing."""
    providers = Providers(settings, load_catalogue(settings.paths))
    for card in providers.needed_models():
        folder = weights.folder_of(card, settings.paths.weights)
        if weights.status(card, folder) == "present":
            continue
        if not card.commercial_use and card.id not in settings.accept_licences:
            detail = f"not fetched: its licence ({card.licence}) forbids commercial use"
            advice = f"if yours is none: pergai models pull {card.id} --accept-licence {card.id}"
            yield Finding(subject=f"pull {card.id}", level="note", detail=detail, advice=advice)
            continue
        started = time.monotonic()
        try:
            weights.pull(card, settings.paths.weights, offline=settings.offline)
        except PergaiError as error:
            replaced = providers.is_replaced(card.id)
            yield Finding(
                subject=f"pull {card.id}",
                level="note" if replaced else "problem",
                detail=error.detail + ("; a fallback does its work" if replaced else ""),
                advice=f"pergai models pull {card.id}",
            )
        else:
            seconds = time.monotonic() - started
            yield Finding(subject=f"pull {card.id}", level="ok", detail=f"fetched and verified in {seconds:.0f} s")


def _borrowed(settings: Settings, folder: Path) -> Settings:
    """The same server on an empty data folder, with this one's weights and cards."""
    folder.mkdir()
    for name in ("models", "pipelines", "scenes", "presets"):
        if (settings.home / name).is_dir():
            (folder / name).symlink_to(settings.home / name)
    (folder / "weights").symlink_to(settings.paths.weights)
    return settings.model_copy(update={"home": folder, "port": 0})


# --- the work ----------------------------------------------------------------------------------------


def _works(settings: Settings, api: Api, folder: Path, keep: Path | None) -> Iterator[Finding]:
    providers = Providers(settings, load_catalogue(settings.paths))
    product = api.post("/products", PRODUCT)["id"]
    seen: set[tuple[Task, str]] = set()
    for name in providers.names:
        for offer in providers.offers(name):
            pipeline = offer.fallback or offer.pipeline
            if (offer.task, pipeline.id) in seen:
                continue
            seen.add((offer.task, pipeline.id))
            if offer.unavailable and offer.fallback is None:
                subject = f"{offer.task} by {pipeline.id}"
                yield Finding(subject=subject, level="note", detail=f"not tried: {offer.unavailable}")
                continue
            yield _work(api, product, name, offer.task, pipeline.id, folder, keep)


def _work(api: Api, product: str, provider: str, task: Task, pipeline: str, folder: Path, keep: Path | None) -> Finding:
    path, fields = ASKED[task]
    subject = f"{task} by {pipeline}"
    started = time.monotonic()
    try:
        with _memory_of(api.ready().get("enginePid")) as peak:
            queued = api.post(path, {"productId": product, "aiProvider": provider, "seed": SEED, **fields})
            record = api.finish({subject: queued}, lambda *_: None)[subject]
    except PergaiError as error:
        return Finding(subject=subject, level="problem", detail=error.detail, advice="the server's log says more")
    seconds = time.monotonic() - started
    picture = folder / f"{pipeline}.png"
    api.save(record["resultImagePath"], picture)
    small = shrink(picture)
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
        small.save(keep / f"{pipeline}.png")
    told = f"{seconds:.1f} s, {peak[0] / MIB:.0f} MiB, {record['model']}"
    apart = difference(small, packaged("configs") / "references" / f"{pipeline}.png")
    if apart is None:
        return Finding(subject=subject, level="ok", detail=told)
    told += f"; {apart:.1f} of 255 from the reference on average"
    if apart > ALIKE:
        advice = f"up to {ALIKE:g} is usual: look at the picture, then at what was changed (cards, packages, drivers)"
        return Finding(subject=subject, level="note", detail=told, advice=advice)
    return Finding(subject=subject, level="ok", detail=told)


@contextmanager
def _memory_of(process: int | None) -> Iterator[list[int]]:
    """The largest resident memory of a process meanwhile, in bytes; [0] while it cannot be told."""
    peak, over = [0], threading.Event()

    def watch() -> None:
        try:
            running = psutil.Process(process)
            while not over.wait(0.1):
                peak[0] = max(peak[0], running.memory_info().rss)
        except psutil.Error:
            return

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield peak
    finally:
        over.set()
        thread.join()


def shrink(path: Path) -> Image.Image:
    """A result as its reference is kept: small, on grey where it is transparent."""
    with Image.open(path) as image:
        rgba = image.convert("RGBA")
    ground = Image.new("RGBA", rgba.size, (128, 128, 128, 255))
    flat = Image.alpha_composite(ground, rgba).convert("RGB")
    flat.thumbnail((REFERENCE_SIDE, REFERENCE_SIDE), Image.Resampling.BOX)
    return flat


def difference(small: Image.Image, reference: Path) -> float | None:
    """Mean difference of two small pictures, of 255; None where there is no reference. Other sizes differ by all of it."""
    if not reference.is_file():
        return None
    with Image.open(reference) as image:
        kept: npt.NDArray[np.int16] = np.asarray(image.convert("RGB"), np.int16)
    ours = np.asarray(small, np.int16)
    return 255.0 if ours.shape != kept.shape else float(np.abs(ours - kept).mean())


# --- diffusion against stock -------------------------------------------------------------------------


def _stock(settings: Settings) -> Iterator[Finding]:
    """Each diffusion model that is here, against diffusers' own pipeline."""
    providers = Providers(settings, load_catalogue(settings.paths))
    for card in providers.needed_models():
        folder = weights.folder_of(card, settings.paths.weights)
        if card.family != "diffusers" or weights.status(card, folder) != "present":
            continue
        device = find_hardware(settings.engine.device).kind
        subject = f"{card.id} against stock diffusers"
        try:
            apart, ours, theirs = against_stock(card, folder, device)
        except (PergaiError, MemoryError, RuntimeError) as error:
            yield Finding(subject=subject, level="problem", detail=str(error)[:300])
            continue
        level: Level = "ok" if apart <= EQUAL[device] else "problem"
        detail = f"at most {apart} of 255 apart; {ours:.1f} s, stock {theirs:.1f} s, one picture"
        yield Finding(subject=subject, level=level, detail=detail, advice="" if level == "ok" else "report it, please")
