"""Segmentation nets of the U²-Net family, run through rembg's own sessions on verified files.

Family `rembg` of the model cards. Only sessions that run on this machine are in the table; rembg's remote ones
cannot be named.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from pergai.cards.structs import ModelCard
from pergai.errors import CardError, ModelUnavailable
from pergai.imaging.closer_look import Look
from pergai.imaging.exposure import exposed_for_ground
from pergai.imaging.picture import RGB, FloatPlane
from pergai.runners import heap

LOCAL_SESSIONS = frozenset({"u2netp", "u2net", "isnet-general-use", "birefnet-general", "birefnet-general-lite"})
"""Names of the rembg sessions a card may ask for."""

FAINT = 0.3
"""A net that is nowhere surer than this has found nothing; its mask is left faint instead of being stretched."""


class Segmenter:
    """One net of the family. A payload is an RGB picture; its result is the net's raw mask at the same size.

    The nets have a fixed input size, and the files that are published, BiRefNet's too, have a batch of one fixed in them. An
    export of one's own, whose first axis is free, takes `max_batch` pictures at once: worth it on a GPU only, for u2netp was
    measured to be slower in batches on a CPU.
    """

    def __init__(
        self,
        session: Any,
        *,
        size: int,
        mean: tuple[float, float, float],
        std: tuple[float, float, float],
        logits: bool,
        exposed: bool = False,
        max_batch: int = 1,
    ) -> None:
        self.max_batch = max_batch
        self._exposed = exposed
        self._session = session
        self._output = session.inner_session.get_outputs()[0].name  # the others are coarser, for training
        self._size = (size, size)
        self._mean = mean
        self._std = std
        self._logits = logits

    def run(self, payloads: Sequence[RGB]) -> list[Look]:
        """A mask, float32 (height, width) in 0-1, for each uint8 (height, width, 3)."""
        shown = [exposed_for_ground(pixels) for pixels in payloads] if self._exposed else payloads
        images = [Image.fromarray(pixels) for pixels in shown]
        feeds = [self._session.normalize(image, self._mean, self._std, self._size) for image in images]
        together = {name: np.concatenate([feed[name] for feed in feeds]) for name in feeds[0]}
        masks: npt.NDArray[np.float32] = self._session.inner_session.run([self._output], together)[0][:, 0]
        heap.trim()
        side = max(self._size)
        return [Look(self._finished(raw, image), side) for raw, image in zip(masks, images, strict=True)]

    def _finished(self, raw: npt.NDArray[np.float32], image: Image.Image) -> FloatPlane:
        if self._logits:
            raw = np.float32(1.0) / (np.float32(1.0) + np.exp(-raw))
        # rembg stretches every mask to 0-1, which turns the noise of an empty picture into a product.
        peak = float(raw.max())
        if peak > FAINT:
            raw = raw / peak
        plane = Image.fromarray(raw.astype(np.float32)).resize(image.size, Image.Resampling.BICUBIC)
        return np.clip(np.asarray(plane, dtype=np.float32), 0.0, 1.0)


def load(card: ModelCard, folder: Path, device: str) -> Segmenter:
    """Open the net of a card whose files lie, already verified, in `folder`.

    `card.options`: `session` (rembg's name of the net), `size` (input side in pixels), `mean`, `std` (per channel),
    `logits` (the net ends without a sigmoid), `exposed_for_ground` (it finds more of white on white so; a coarse net loses as
    much in fur) and `max_batch` (pictures at once, for a file whose first axis is free).
    `device` is "cpu" or "cuda". Raises ModelUnavailable when the session is not a local one, the file is missing, or
    onnxruntime cannot read it, CardError when the file has a batch of one.
    """
    options = card.options
    name = str(options.get("session", card.id))
    if name not in LOCAL_SESSIONS:
        raise ModelUnavailable(
            f"model {card.id}: {name!r} is not a local session; choose from {sorted(LOCAL_SESSIONS)}"
        )
    path = folder / card.files[0].name
    if not path.is_file():
        raise ModelUnavailable(f"model {card.id}: {path.name} is missing; run `pergai models pull {card.id}`")
    try:
        session = _open(name, path, device)
    except ImportError as error:
        raise ModelUnavailable(f"model {card.id}: rembg cannot be imported ({error})") from error
    r, g, b = (float(value) for value in options["mean"])
    sr, sg, sb = (float(value) for value in options["std"])
    max_batch = int(options.get("max_batch", 1))
    if max_batch > 1 and isinstance(session.inner_session.get_inputs()[0].shape[0], int):
        raise CardError(f"models/{card.id}.toml: options.max_batch: {path.name} takes one picture at a time")
    return Segmenter(
        session,
        size=int(options["size"]),
        mean=(r, g, b),
        std=(sr, sg, sb),
        logits=bool(options.get("logits", False)),
        exposed=bool(options.get("exposed_for_ground", False)),
        max_batch=max_batch,
    )


def _open(name: str, path: Path, device: str) -> Any:
    """rembg's session of this name on this very file."""
    sessions = _rembg_sessions()
    import onnxruntime
    from onnxruntime.capi import onnxruntime_pybind11_state as ort

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = os.cpu_count() or 1
    options.inter_op_num_threads = 1
    # Idle workers sleep: spinning would steal the cores from the pools that prepare and finish other jobs.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # What a run needs goes back when it ends: kept, IS-Net's would be 1.7 GiB beside the renderer, for an eighth of its time.
    options.enable_cpu_mem_arena = options.enable_mem_pattern = False
    wanted = ["CPUExecutionProvider"]
    if device.startswith("cuda") and "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        wanted.insert(0, "CUDAExecutionProvider")

    # `download_models` is how a session of rembg finds its file; answering it here leaves no way to the network.
    local = type("LocalSession", (sessions[name],), {"download_models": classmethod(lambda *_, **__: str(path))})
    unreadable = (ort.Fail, ort.InvalidGraph, ort.InvalidProtobuf, ort.NoSuchFile, ort.NotImplemented)
    try:
        opened = local(name, options, providers=wanted)
    except unreadable as error:
        raise ModelUnavailable(f"model {name}: {path.name} cannot be read ({error})") from error
    heap.trim()
    return opened


def _rembg_sessions() -> dict[str, Any]:
    """rembg's table of sessions.

    Importing rembg imports pymatting, whose kernels numba compiles at import: 40-60 s on a new machine, and again
    at every start where site-packages is read-only. We refine masks with our own code and never call these kernels,
    so numba leaves them uncompiled while rembg is imported (0.7 s). rembg calls `sys.exit` where onnxruntime is
    missing; hence onnxruntime first, which raises a plain ImportError.
    """
    import numba
    import onnxruntime  # noqa: F401

    config: Any = numba.config
    before = config.DISABLE_JIT
    config.DISABLE_JIT = True
    try:
        from rembg.sessions import sessions
    finally:
        config.DISABLE_JIT = before
    return dict(sessions)
