"""The cut-out of a source, made once and shared by every job that needs it."""

from __future__ import annotations

import asyncio
import hashlib
import io
import os
from pathlib import Path
from weakref import WeakValueDictionary

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from pergai.engine.core import Desk, Job
from pergai.imaging.closer_look import closer_box, with_closer_look
from pergai.imaging.matte import VERSION, from_alpha, is_cut_out, refine, working_copy
from pergai.imaging.picture import Matte, Picture

_DIGEST_BYTES = 32
_DOUBTFUL = "Doubtful"

NOTE = "cut_out_doubtful"
"""Of a record whose cut-out somebody ought to look at."""

_in_hand: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
"""Cut-outs that are being made, by key; a lock goes when nobody holds it."""


async def cut_out(job: Job, desk: Desk, source: Picture, model: str) -> Matte:
    """The matte of `source` by the segmentation net `model` (an id of a model card).

    Kept in `desk.cache/mattes` under the hash of the source's pixels, the model and the version of the algorithm: jobs on the
    same product, and retries of this one, share it. A damaged file is made again. A source that is a cut-out already
    keeps its own alpha, and no net runs. Raises NoProductFound and ModelUnavailable.
    """
    key = await desk.cpu(_key, source, model)
    lock = _in_hand.get(key)
    if lock is None:
        lock = _in_hand[key] = asyncio.Lock()
    async with lock:  # jobs that ask for the same cut-out at once: one makes it, the others find it
        return await _made_or_kept(job, desk, source, model, desk.cache / "mattes" / f"{key}.png")


def noted(source: Picture, matte: Matte) -> tuple[str, ...]:
    """The notes of a source that was cut out."""
    return (*source.notes, NOTE) if matte.doubtful else source.notes


async def _made_or_kept(job: Job, desk: Desk, source: Picture, model: str, path: Path) -> Matte:
    if (kept := await desk.cpu(_read, path, source)) is not None:
        return kept
    if source.alpha is not None and is_cut_out(source.alpha):
        matte = await desk.cpu(from_alpha, source.pixels, source.alpha)
    else:
        desk.progress(0.1, "cut-out")
        small = await desk.cpu(working_copy, source.pixels)
        look = await desk.device(model, small)  # of whatever shape: the net sees all at its own size
        mask = look.mask
        if (box := await desk.cpu(closer_box, look)) is not None:
            part = box.of(small)
            closer = await desk.device(model, part, shape=part.shape)
            mask = await desk.cpu(with_closer_look, mask, closer.mask, box)
        desk.progress(0.3, "matte")
        matte = await desk.cpu(refine, source.pixels, mask)
    await desk.cpu(_write, path, matte, job.id)
    return matte


def _key(source: Picture, model: str) -> str:
    digest = hashlib.sha256(f"{VERSION}\n{model}\n{source.width}x{source.height}\n".encode())
    digest.update(np.ascontiguousarray(source.pixels).data)
    if source.alpha is not None:
        digest.update(np.ascontiguousarray(source.alpha).data)
    return digest.hexdigest()


def _write(path: Path, matte: Matte, job: str) -> None:
    """A PNG that ends with the SHA-256 of itself. Where alpha is 255 the colours are the source's: not stored."""
    colours = np.where((matte.alpha == 255)[..., None], np.uint8(0), matte.foreground)
    body = io.BytesIO()
    more = PngInfo()
    if matte.doubtful:
        more.add_text(_DOUBTFUL, "yes")
    Image.fromarray(np.dstack([colours, matte.alpha])).save(body, "PNG", compress_level=1, pnginfo=more)
    data = body.getvalue()
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.stem}.{job}.tmp")
    unfinished.write_bytes(data + hashlib.sha256(data).digest())
    os.replace(unfinished, path)  # noqa: PTH105 - the atomic call, by its name


def _read(path: Path, source: Picture) -> Matte | None:
    """The kept matte, or None when there is none that is whole."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    body, digest = data[:-_DIGEST_BYTES], data[-_DIGEST_BYTES:]
    if hashlib.sha256(body).digest() != digest:
        return None
    image = Image.open(io.BytesIO(body))
    stored = np.asarray(image)
    alpha = np.ascontiguousarray(stored[..., 3])
    foreground = np.where((alpha == 255)[..., None], source.pixels, stored[..., :3])
    return Matte(alpha, foreground, _DOUBTFUL in image.info)
