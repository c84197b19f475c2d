"""The last steps of every job: provenance, encoding, the fidelity receipt, and the file on the disk."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from pergai.cards.structs import PipelineCard
from pergai.engine.core import Fidelity, FileParams, ImageFormat, Job, Outcome, Reference, Result
from pergai.errors import JobError, ProductAltered
from pergai.imaging.colour import to_16_bits
from pergai.imaging.credentials import SIGNED_FORMATS, Identity, sign
from pergai.imaging.decode import decode
from pergai.imaging.encode import encode, encode_deep
from pergai.imaging.fidelity import EXACT, LIMITS, Receipt, receipt, require
from pergai.imaging.layers import Layer, flatten, highest
from pergai.imaging.picture import Picture
from pergai.imaging.provenance import xmp_packet
from pergai.imaging.psd import read_psd, write_psd


def deliver(job: Job, outcome: Outcome, *, pipeline: PipelineCard, identity: Identity | None = None) -> Result:
    """Encode the outcome, prove that the product is untouched, and write the file at `job.target`, synced.

    With an `identity` the file is signed with Content Credentials, in the formats that can hold them.

    The encoded bytes are decoded again, so no file is ever delivered that does not open. Renaming the file and syncing
    its folder is up to the storage. Raises ProductAltered beyond the limits of `imaging/fidelity.py`, TooLarge when
    the format cannot hold the size, JobError when the file has more bytes than asked for.
    """
    before = Receipt(0, 0.0, 0)
    if outcome.reference is not None:
        # Before a codec can hide anything: here the product must be exact, whatever the format.
        before = receipt(outcome.reference.pixels, outcome.reference.where, outcome.pixels)
        require(before, EXACT)
    content = _encoded(job, outcome, pipeline, identity)
    height, width = outcome.pixels.shape[:2]
    if job.format == "psd":
        stored = _flattened(content)
    else:
        stored = decode(content, max_pixels=width * height, keep_depth=outcome.deep is not None)
    if (stored.width, stored.height) != (width, height):
        raise JobError(f"the encoded file came out as {stored.width}×{stored.height} instead of {width}×{height}")
    fidelity: Fidelity | None = None
    if outcome.reference is not None:
        # What a lossless file shows has been compared already.
        same = np.array_equal(stored.pixels, outcome.pixels)
        found = before if same else receipt(outcome.reference.pixels, outcome.reference.where, stored.pixels)
        fidelity = _fidelity(found, outcome.reference, stored, job.format)
    _write(Path(job.target), content)
    return Result(
        job=job.id,
        target=job.target,
        width=width,
        height=height,
        bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        model=outcome.model,
        notes=outcome.notes,
        words=outcome.words,
        details=dict(outcome.details),
        fidelity=fidelity,
    )


def _encoded(job: Job, outcome: Outcome, pipeline: PipelineCard, identity: Identity | None) -> bytes:
    wanted = msgspec.convert(job.params, FileParams)
    recipe = _recipe(job, outcome, pipeline)
    xmp = xmp_packet(outcome.ai_made, recipe)
    dpi = wanted.dpi or None
    if job.format == "psd":
        merged = outcome.pixels if outcome.deep is None else outcome.deep
        layers = outcome.layers or (Layer("picture", merged, outcome.alpha),)
        content = write_psd(layers, merged, outcome.alpha, xmp=xmp, dpi=dpi)
    elif outcome.deep is not None and job.format in ("png", "tiff"):
        content = encode_deep(outcome.deep, outcome.alpha, job.format, xmp=xmp, dpi=dpi)
    else:
        content = encode(outcome.pixels, outcome.alpha, job.format, grey=outcome.grey, xmp=xmp, dpi=dpi)
    if identity is not None and job.format in SIGNED_FORMATS:
        content = sign(content, job.format, identity, ai_made=outcome.ai_made, recipe=recipe, source=Path(job.source))
    if wanted.max_bytes and len(content) > wanted.max_bytes:
        # Not at a lower quality: there the product would differ by more than its receipt allows.
        raise JobError(
            f"the {job.format} has {len(content):,} bytes, at most {wanted.max_bytes:,} are allowed; "
            "ask for a smaller resolution or for another format"
        )
    return content


def _recipe(job: Job, outcome: Outcome, pipeline: PipelineCard) -> dict[str, Any]:
    return {
        "generation": job.rerun_of or job.id,
        "kind": job.kind,
        "provider": job.provider,
        "pipeline": pipeline.id,
        "model": outcome.model,
        "seed": job.seed,
        "scene": job.params.get("scene"),
        "prompt": job.params.get("prompt"),
        "negativePrompt": job.params.get("negative_prompt"),
        "source": job.source_sha256,
        "furtherSources": [other["source_sha256"] for other in job.params.get("further", ())],
        "relight": msgspec.json.encode(outcome.details["relight"]).decode() if "relight" in outcome.details else None,
        "notes": outcome.notes,
    }


def _flattened(content: bytes) -> Picture:
    """What the layers of the file add up to. Raises JobError when the merged picture beside them shows something else."""
    layers, merged = read_psd(content)
    pixels, alpha, deep = flatten(layers)
    seen = np.abs((pixels if deep is None else deep).astype(np.int32) - merged) * (alpha > 0)[..., None]
    apart = seen.max() * 255 / highest(merged)
    if apart > 1:
        raise JobError(f"the layers add up to another picture than the merged one: {apart:.1f} of 255 apart")
    return Picture(pixels, alpha, deep=deep)


def _fidelity(found: Receipt, reference: Reference, stored: Picture, format: ImageFormat) -> Fidelity:
    """The receipt of a file that shows `stored`. Raises ProductAltered beyond the format's limit."""
    if stored.deep is not None:
        wide = reference.deep if reference.deep is not None else to_16_bits(reference.pixels)
        if not np.array_equal(stored.deep[reference.where], wide[reference.where]):
            raise ProductAltered("inside the product the 16-bit file differs from the source")
    require(found, LIMITS[format])
    return Fidelity(
        max_difference=found.max_difference,
        mean_difference=round(found.mean_difference, 4),
        checked_pixels=found.checked_pixels,
        against="relit" if reference.relit else "source",
    )


def _write(target: Path, content: bytes) -> None:
    with target.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
