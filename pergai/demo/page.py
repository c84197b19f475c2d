"""The page a demo leaves: one HTML file beside its images, which needs no network and no server."""

from __future__ import annotations

from html import escape
from pathlib import Path
from string import Template

from pergai.demo.story import Shot, Story

TEMPLATE = Path(__file__).with_name("page.html")


def write_page(story: Story, out: Path) -> Path:
    """Write `out/index.html`; the images lie in `out/images` already."""
    parts = [
        _head(story),
        _cut_out(story),
        _scenes(story),
        _upscale(story),
        _expand(story),
        _collection(story),
        _foot(story),
    ]
    page = out / "index.html"
    page.write_text(Template(TEMPLATE.read_text(encoding="utf-8")).substitute(body="\n".join(parts)), encoding="utf-8")
    return page


def _head(story: Story) -> str:
    return f"""<header>
<h1>One photo, the whole API</h1>
<p>Everything below was made from the photo on the left, by one pergai server on {escape(story.device)}, through its HTTP API.
Each picture says how long it took, how it was made, and the request that asks for it.</p>
<div class="pair">{_figure(story.original)}{_figure(story.scenes[0])}</div>
</header>"""


def _cut_out(story: Story) -> str:
    image = _image(story.cut_out)
    grounds = ('class="checker"', 'style="background:#fff"', 'style="background:#16130f"', 'style="background:#2f6f5e"')
    swatches = "".join(f"<div {ground}>{image}</div>" for ground in grounds)
    return _section(
        "Cut out",
        "A matte, not a mask: soft at the edge, with the old background taken out of the edge's colours. "
        "The same PNG on four grounds.",
        f'<figure><div class="swatches">{swatches}</div>{_caption(story.cut_out)}</figure>',
    )


def _scenes(story: Story) -> str:
    return _section(
        "In a scene",
        "The cut-out stands in a photo set that is path-traced around it, so its shadow and its reflection are real. "
        "The product's own pixels are put back on top, and checked.",
        f'<div class="grid">{"".join(map(_figure, story.scenes[1:]))}</div>',
    )


def _upscale(story: Story) -> str:
    before, after = _image(story.original), _image(story.upscaled)
    slider = '<input type="range" min="0" max="100" value="50" aria-label="Before and after">'
    compare = f'<div class="compare">{before}{after}<span>before</span><span>after</span>{slider}</div>'
    return _section(
        "Larger",
        "Drag the line: the photo as it was, stretched by the browser, against the upscaled one.",
        f"<figure>{compare}{_caption(story.upscaled)}</figure>",
    )


def _expand(story: Story) -> str:
    figures = "".join(_figure(picture, share=picture.width / picture.height) for picture in story.expanded)
    return _section(
        "Another shape",
        "The photo's own pixels stay as they are; around them the background goes on.",
        f'<div class="row">{figures}</div>',
    )


def _collection(story: Story) -> str:
    rows = "".join(
        f'<tr><td>{escape(name)}</td><td class="number">{size / 1024:,.0f} KiB</td></tr>'
        for name, size in story.archive
    )
    curls = "".join(f"<pre>{escape(curl)}</pre>" for curl in (*story.collection_curls, story.archive_curl))
    return _section(
        "Collected",
        "All of it as one ZIP, streamed while it is made.",
        f'<div class="panel"><table>{rows}</table><details><summary>curl</summary>{curls}</details></div>',
    )


def _foot(story: Story) -> str:
    longest = max(story.seconds.values())
    rows = "".join(
        f'<tr><td>{escape(step)}</td><td class="bar"><i style="width:{100 * seconds / longest:.1f}%"></i></td>'
        f'<td class="number">{seconds:.1f} s</td></tr>'
        for step, seconds in story.seconds.items()
    )
    times = _section(
        "Seconds",
        "As the client saw them. The scenes were asked for at once and share the machine.",
        f'<div class="panel"><table>{rows}</table></div>',
    )
    return (
        f"{times}\n<footer>pergai {escape(story.version)} on {escape(story.device)}. "
        "The photo is “coffee” by Rachel Michetti, CC0, from scikit-image.</footer>"
    )


def _section(title: str, lead: str, content: str) -> str:
    return f"<section>\n<h2>{escape(title)}</h2>\n<p>{escape(lead)}</p>\n{content}\n</section>"


def _figure(picture: Shot, *, share: float = 0.0) -> str:
    """`share`: part of a row's width, so that pictures of all shapes are equally high."""
    style = f' style="flex: {share:.3f} 1 0"' if share else ""
    return f"<figure{style}>{_image(picture)}{_caption(picture)}</figure>"


def _caption(picture: Shot) -> str:
    time = f'<span class="time">{picture.seconds:.1f} s</span>' if picture.seconds else ""
    about = f"<div>{escape(picture.description)}</div>" if picture.description else ""
    facts = f'<div class="facts">{escape(" · ".join(picture.facts))}</div>' if picture.facts else ""
    curl = f"<details><summary>curl</summary><pre>{escape(picture.curl)}</pre></details>"
    return f"<figcaption>{time}<b>{escape(picture.title)}</b>{about}{facts}</figcaption>{curl}"


def _image(picture: Shot) -> str:
    return (
        f'<img src="{escape(picture.image)}" alt="{escape(picture.title)}" width="{picture.width}" height="{picture.height}" '
        'loading="lazy">'
    )
