"""The demo itself: the requests a shop would send, one after the other."""

from __future__ import annotations

import asyncio
import shutil
import time
from contextlib import suppress
from pathlib import Path

import httpx
from rich.console import Console

from pergai import __version__
from pergai.demo.client import Api, Record
from pergai.demo.page import write_page
from pergai.demo.server import server
from pergai.demo.steps import Steps
from pergai.demo.story import Shot, Story, list_archive, shot
from pergai.errors import HomeLocked, NotReady
from pergai.services.admin import administer
from pergai.services.keys import KeyRecord, NewKey
from pergai.settings import Settings

PRODUCT = {"name": "Red cup", "category": "home", "imagePath": "products/sample.png"}
HERO = "marble"
"""The scene at the head of the page, in the photo's own shape."""
SCENES = (
    HERO,
    "studio",
    "luxury",
    "nature",
    "sunlight",
    "podium",
    "wood",
    "pastel",
    "dark",
    "festive",
    "white",
    "flatlay",
)
PROMPTS = {"podium": "sage green floor, teal backdrop, golden hour"}
RATIOS = ("9:16", "16:9")


def run(settings: Settings, out: Path) -> Path:
    """Run it against a server on `settings.home`, and write `out/index.html`. The page's path.

    Raises HomeLocked, NotReady, or what the server answers.
    """
    console = Console(highlight=False)
    images = out / "images"
    shutil.rmtree(images, ignore_errors=True)
    images.mkdir(parents=True)
    began = time.monotonic()
    with server(settings, out / "server.log") as origin:
        console.print(
            f"\n  pergai {__version__} answers on {origin}, and is ready after {time.monotonic() - began:.1f} s\n"
        )
        key = asyncio.run(administer(settings.paths, "keys.create", NewKey, name="demo", library="demo"))
        steps = Steps(console)
        try:
            with steps.bars:
                story = _Demo(Api(origin, key.key), steps, out).play()
        except httpx.TransportError as error:
            raise NotReady(f"the server went away ({error}); its log is {out / 'server.log'}") from error
        finally:
            with suppress(HomeLocked):  # it still drains after a failure
                asyncio.run(administer(settings.paths, "keys.revoke", KeyRecord, id=str(key.record.id)))
    page = write_page(story, out)
    console.print(f"\n  {time.monotonic() - began:.0f} s in all. Open {page}\n")
    return page


class _Demo:
    def __init__(self, api: Api, steps: Steps, out: Path) -> None:
        self._api = api
        self._steps = steps
        self._out = out
        self._product = ""

    def play(self) -> Story:
        original = self._create_product()
        cut_out = self._tool("Remove the background", "remove-bg", {}, "cut-out", "Cut out")
        scenes = self._scenes()
        upscaled = self._tool("Upscale 2x", "upscale", {"scale": "2x", "aiProvider": "nano-banana-2"}, "upscaled", "2x")
        expanded = [
            self._tool(f"Expand to {ratio}", "expand", {"ratio": ratio}, f"expanded-{ratio.replace(':', 'x')}", ratio)
            for ratio in RATIOS
        ]
        made = [cut_out, *scenes, upscaled, *expanded]
        curls, archive_curl = self._collect([id for id, _ in made])
        ready = self._api.ready()
        return Story(
            original=original,
            cut_out=cut_out[1],
            scenes=[picture for _, picture in scenes],
            upscaled=upscaled[1],
            expanded=[picture for _, picture in expanded],
            collection_curls=curls,
            archive=list_archive(self._out / "collection.zip"),
            archive_curl=archive_curl,
            device=ready["device"],
            version=__version__,
            seconds=self._steps.seconds,
        )

    def _create_product(self) -> Shot:
        with self._steps.step("Create the product"):
            product = self._api.post("/products", PRODUCT)
            self._api.save(product["imagePath"], self._out / "images" / "original.png")
        self._product = product["id"]
        curl = self._api.curl("POST", "/products", PRODUCT)
        return Shot("The photo", "images/original.png", product["width"], product["height"], curl)

    def _tool(self, step: str, tool: str, asked: Record, name: str, title: str) -> tuple[str, Shot]:
        body = {"productId": self._product, **asked}
        curl = self._api.curl("POST", f"/tools/{tool}", body)
        with self._steps.step(step) as under_way:
            queued = {name: self._api.post(f"/tools/{tool}", body)}
            record = self._api.finish(queued, lambda _, latest: under_way.update(latest["progress"]))[name]
            return record["id"], self._keep(record, name, curl, title)

    def _scenes(self) -> list[tuple[str, Shot]]:
        """All are asked for at once; the server decides what runs beside what."""
        templates = {template["id"]: template for template in self._api.get("/templates")}
        asked = {scene: self._scene_request(scene) for scene in SCENES if scene in templates}
        steps = {scene: self._steps.begin(f"Scene: {templates[scene]['name']}") for scene in asked}

        def watch(scene: str, record: Record) -> None:
            steps[scene].update(record["progress"])
            if record["status"] == "completed":
                steps[scene].done()

        records = self._api.finish(
            {scene: self._api.post("/generations", body) for scene, body in asked.items()}, watch
        )
        made = []
        for scene, record in records.items():
            name, description = templates[scene]["name"], templates[scene]["description"]
            curl = self._api.curl("POST", "/generations", asked[scene])
            made.append((record["id"], self._keep(record, f"scene-{scene}", curl, name, description)))
        return made

    def _scene_request(self, scene: str) -> Record:
        body = {"productId": self._product, "scene": scene, "aspectRatio": "3:2" if scene == HERO else "1:1"}
        return {**body, "customPrompt": PROMPTS[scene]} if scene in PROMPTS else body

    def _keep(self, record: Record, name: str, curl: str, title: str, description: str = "") -> Shot:
        image = f"images/{name}.{record['format']}"
        self._api.save(record["resultImagePath"], self._out / image)
        return shot(record, image, curl, title=title, description=description)

    def _collect(self, generations: list[str]) -> tuple[list[str], str]:
        """Put everything into a collection and download it; the curl lines of both."""
        with self._steps.step("Collect everything") as step:
            body = {"name": "Summer Collection"}
            collection = self._api.post("/collections", body)["id"]
            for number, generation in enumerate(generations, 1):
                self._api.post(f"/collections/{collection}/items", {"generationId": generation})
                step.update(number / len(generations))
        with self._steps.step("Download the ZIP"):
            self._api.save(f"/api/external/v1/collections/{collection}/download", self._out / "collection.zip")
        item = self._api.curl("POST", f"/collections/{collection}/items", {"generationId": generations[0]})
        download = self._api.curl("GET", f"/collections/{collection}/download", output="collection.zip")
        return [self._api.curl("POST", "/collections", body), item], download
