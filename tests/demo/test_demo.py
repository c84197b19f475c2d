"""`make demo`: a real photo through a real server, and a page that needs neither of them any more."""

from __future__ import annotations

import re
import socket
import sqlite3
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from pergai.demo import run as demo
from pergai.demo.server import free_port
from pergai.errors import HomeLocked
from pergai.settings import Settings, load_settings
from pergai.storage.lock import lock_home


class Page(HTMLParser):
    """What a browser would load, and the text of each `<pre>`."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.pres: list[str] = []
        self._in_pre = False
        self.feed(path.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._in_pre = tag == "pre"
        if self._in_pre:
            self.pres.append("")
        self.loads += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "poster", "data")]

    def handle_endtag(self, tag: str) -> None:
        self._in_pre = self._in_pre and tag != "pre"

    def handle_data(self, data: str) -> None:
        if self._in_pre:
            self.pres[-1] += data


@pytest.fixture
def settings(tmp_path: Path, weights_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("PERGAI_WEIGHTS", str(weights_folder))
    return load_settings("embedded", home=tmp_path / "home", port=free_port(0))


@pytest.mark.slow
def test_the_demo_leaves_a_page_that_shows_everything_and_loads_nothing_from_outside(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(demo, "SCENES", ("marble", "studio"))
    out = tmp_path / "demo"
    page_path = demo.run(settings, out)
    page, text = Page(page_path), page_path.read_text()

    images = {load for load in page.loads if load.startswith("images/")}
    assert set(page.loads) - images == {"data:,"}
    assert "url(" not in text
    assert images == {f"images/{path.name}" for path in (out / "images").iterdir()}
    assert {
        f"images/{name}.png" for name in ("original", "cut-out", "upscaled", "scene-marble", "scene-studio")
    } <= images
    sizes = {
        name: Image.open(out / "images" / name).size for name in ("original.png", "upscaled.png", "expanded-16x9.png")
    }
    assert sizes["upscaled.png"] == tuple(2 * side for side in sizes["original.png"])
    assert sizes["expanded-16x9.png"][0] / sizes["expanded-16x9.png"][1] == pytest.approx(16 / 9, rel=0.01)
    assert Image.open(out / "images" / "cut-out.png").mode == "RGBA"

    curls = [pre for pre in page.pres if pre.startswith("curl ")]
    assert len(curls) == len(page.pres) >= 9
    assert all("Authorization: Bearer pk_YOUR_API_KEY" in curl for curl in curls)
    for name in ("manifest.json", "remove-bg", "scene-marble", "upscale", "expand"):
        assert name in text

    printed = capsys.readouterr().out
    for step in ("Create the product", "Remove the background", "Upscale 2x", "Expand to 9:16", "Download the ZIP"):
        assert re.search(rf"{step}\s+━+\s+\d+\.\d s", printed), step
    with sqlite3.connect(settings.paths.database) as connection:
        ((name, revoked),) = connection.execute(
            "SELECT name, revoked_at FROM api_key WHERE library = 'demo'"
        ).fetchall()
    assert name == "demo"
    assert revoked is not None


def test_a_busy_port_is_left_to_its_owner() -> None:
    with socket.create_server(("127.0.0.1", 0)) as owner:
        busy = owner.getsockname()[1]
        assert free_port(busy) not in (0, busy)
    assert free_port(busy) == busy


def test_a_data_folder_in_use_is_named_before_anything_is_started(settings: Settings, tmp_path: Path) -> None:
    settings.paths.create()
    with lock_home(settings.paths), pytest.raises(HomeLocked, match="stop it first"):
        demo.run(settings, tmp_path / "demo")
    assert not list((tmp_path / "demo" / "images").iterdir())


def test_what_a_server_says_cannot_become_markup(tmp_path: Path) -> None:
    from pergai.demo.page import write_page
    from pergai.demo.story import Shot, Story

    evil = '<script>alert("x")</script>'
    shot: dict[str, Any] = {
        "image": "images/a.png",
        "width": 2,
        "height": 1,
        "curl": evil,
        "facts": (evil,),
        "description": evil,
    }
    picture = Shot(title=evil, **shot)
    story = Story(
        original=picture,
        cut_out=picture,
        scenes=[picture, picture],
        upscaled=picture,
        expanded=[picture],
        collection_curls=[evil],
        archive=[(evil, 1)],
        archive_curl=evil,
        device=evil,
        version=evil,
        seconds={evil: 1.0},
    )
    text = write_page(story, tmp_path).read_text()
    assert "<script>alert" not in text
    assert "&lt;script&gt;alert(&quot;x&quot;)" in text
