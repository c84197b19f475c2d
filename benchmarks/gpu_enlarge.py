"""Real-ESRGAN on the device, against a plain loop."""

from __future__ import annotations

from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch

from benchmarks.gpu_engine import DENSE, png, seconds_of


def enlarge(weights: Path | None, smoke: bool) -> dict[str, Any]:
    """Real-ESRGAN x4plus on the device: megapixels a second of its input by tile and batch, of the roofline (35.85 MFLOP a
    pixel), and over a plain loop: whole pictures one after another, float16, each with its PNG (goals 0.35 and 3)."""
    device, dtype = ("cpu", torch.float32) if smoke else ("cuda", torch.float16)
    upscaler = x4plus(weights, smoke)
    side = 64 if smoke else 512
    picture = np.random.default_rng(0).integers(0, 255, (side, side, 3), np.uint8)
    found: dict[str, Any] = {}
    for tile, batch in ((32, 2),) if smoke else ((192, 4), (256, 4), (256, 8), (512, 2)):
        tiles = [np.ascontiguousarray(np.resize(picture, (tile, tile, 3))) for _ in range(batch)]
        upscaler.run(tiles)
        spent = median(seconds_of(lambda tiles=tiles: upscaler.run(tiles)) for _ in range(3))
        speed = batch * tile * tile / spent / 1e6
        found[f"tile {tile}, batch {batch}"] = {
            "Mpixel/s": round(speed, 3),
            "share of 790 TFLOP/s": round(speed * 35.85 / DENSE, 3),
        }
    planes = torch.from_numpy(picture).to(device).permute(2, 0, 1)[None].to(dtype) / 255
    net = upscaler._net.to(memory_format=torch.contiguous_format)

    @torch.inference_mode()
    def plain() -> None:
        out = net(planes).clamp(0, 1)[0].permute(1, 2, 0).mul(255).round().to(torch.uint8).cpu().numpy()
        png(out)

    plain()
    rival = side * side / median(seconds_of(plain) for _ in range(2)) / 1e6
    best = max(one["Mpixel/s"] for one in found.values())
    return {**found, "plain loop with PNG, Mpixel/s": round(rival, 3), "best over plain": round(best / rival, 2)}


def x4plus(weights: Path | None, smoke: bool) -> Any:
    """pergai's upscaler: the real weights if they are there, else random ones of the same size."""
    from pergai.runners.upscale.model import Upscaler

    net = _net_of(smoke)
    files = list((weights / "realesrgan-x4plus").glob("*.safetensors")) if weights and not smoke else []
    if files:
        from safetensors.torch import load_file

        net.load_state_dict(load_file(files[0]))
    return Upscaler(net, "cpu" if smoke else "cuda")


def save_x4plus(folder: Path, smoke: bool) -> None:
    """Random weights in the server's format."""
    from safetensors.torch import save_file

    folder.mkdir()
    save_file(_net_of(smoke).state_dict(), folder / "x4plus.safetensors")


def _net_of(smoke: bool) -> torch.nn.Module:
    from pergai.runners.upscale.nets import RRDBNet

    return RRDBNet(8, 4, 1) if smoke else RRDBNet(64, 32, 23)
