"""Segmentation on the device: BiRefNet as pergai runs it (rembg's ONNX file), where the weights are, in batches too where the
file takes them; the published one does not. Else its backbone, Swin-L at 1024², in batches against one by one: what batching
could bring.
"""

from __future__ import annotations

from pathlib import Path
from statistics import median
from typing import Any

import msgspec
import numpy as np
import torch

from benchmarks.gpu_engine import seconds_of
from pergai.errors import CardError


def segment(weights: Path | None, smoke: bool) -> dict[str, Any]:
    if weights and (weights / "birefnet-general").is_dir() and not smoke:
        return real(weights)
    return backbone(smoke)


def real(weights: Path) -> dict[str, Any]:
    """Needs onnxruntime and rembg."""
    from pergai.cards.catalogue import load_catalogue
    from pergai.runners.registry import load_model

    card = load_catalogue().models["birefnet-general"]
    picture = np.random.default_rng(0).integers(0, 255, (1024, 1024, 3), np.uint8)
    found: dict[str, Any] = {}
    for rows in (1, 8):
        try:
            asked = msgspec.structs.replace(card, options={**card.options, "max_batch": rows})
            model = load_model(asked, weights / card.id, "cuda")
        except CardError as error:
            return {**found, "in batches": error.detail}
        model.run([picture] * rows)
        spent = median(seconds_of(lambda n=rows, net=model: net.run([picture] * n)) for _ in range(5))
        found[f"in batches of {rows}, images/s"] = round(rows / spent, 2)
    return found


def backbone(smoke: bool) -> dict[str, Any]:
    from transformers import SwinConfig, SwinModel

    large = {"embed_dim": 192, "depths": [2, 2, 18, 2], "num_heads": [6, 12, 24, 48], "window_size": 12}
    tiny = {"embed_dim": 24, "depths": [1, 1], "num_heads": [2, 4], "window_size": 5}
    side, batch = (64, 2) if smoke else (1024, 8)
    device, dtype = ("cpu", torch.float32) if smoke else ("cuda", torch.float16)
    config = SwinConfig(image_size=side, **(tiny if smoke else large))  # type: ignore[arg-type]
    net = SwinModel(config).eval().to(device=device, dtype=dtype)
    pictures = torch.randn(batch, 3, side, side, device=device, dtype=dtype)
    found = {}
    with torch.inference_mode():
        for name, rows in (("one by one", 1), (f"in batches of {batch}", batch)):
            net(pictures[:rows])
            spent = median(seconds_of(lambda rows=rows: net(pictures[:rows])) for _ in range(3))
            found[f"{name}, images/s"] = round(rows / spent, 2)
    one, together = found.values()
    return {
        "what": "no weights of BiRefNet here: its backbone only (Swin-L, random); pergai runs the whole net one by one",
        **found,
        "batches over one by one": round(together / one, 2),
    }
