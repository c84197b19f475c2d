"""What the engine runs on, found when the engine process starts."""

from __future__ import annotations

import contextlib
import gc
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import psutil

MIB = 1024 * 1024
CHUNK = 8 * MIB
RESERVE_MIB = 1024
"""Left to others."""


@dataclass(frozen=True, slots=True)
class Hardware:
    """One device. `memory` gives (used, total) bytes, `release` hands freed memory back, `wait` returns when the device has
    done all that it was told."""

    kind: Literal["cpu", "cuda"]
    name: str
    budget_mib: int
    host_mib: int
    """Memory beside the device for models that have to leave it."""
    versions: dict[str, str]
    memory: Callable[[], tuple[int, int]]
    release: Callable[[], None]
    wait: Callable[[], None]


def find_hardware(wanted: str) -> Hardware:
    """The device for models: `auto` takes CUDA where torch finds it. Raises RuntimeError when `cuda` is wanted and not
    there."""
    if wanted != "cpu" and (cuda := _cuda()) is not None:
        return cuda
    if wanted == "cuda":
        raise RuntimeError("engine.device is cuda, but torch finds no CUDA device; run `pergai doctor`")
    return _cpu()


def read_ahead(folder: Path) -> None:
    """Read the weight files in a folder into the system's cache, so that loading them does not wait for the disk. A folder
    that is not there is nothing to read."""
    for path in sorted(folder.rglob("*")):
        with contextlib.suppress(OSError), path.open("rb", buffering=0) as file:
            while file.read(CHUNK):
                pass


def _cpu() -> Hardware:
    memory = psutil.virtual_memory()
    return Hardware(
        kind="cpu",
        name=f"CPU, {os.cpu_count()} cores, {memory.total // MIB} MiB",
        budget_mib=max(1024, int(memory.available * 0.6) // MIB),
        host_mib=0,  # a CPU's models are there already
        versions={},
        memory=lambda: (0, 0),
        release=_collect,
        wait=lambda: None,
    )


def _cuda() -> Hardware | None:
    if not _nvidia_driver():
        return None  # without a driver, importing torch to be told so costs two seconds of every start
    import torch

    if not torch.cuda.is_available():
        return None

    from pergai.runners.diffusion.faults import translated

    def used_and_total() -> tuple[int, int]:
        free, total = torch.cuda.mem_get_info()
        return total - free, total

    def release() -> None:
        gc.collect()
        with translated():
            torch.cuda.empty_cache()

    def wait() -> None:
        with translated():
            torch.cuda.synchronize()

    free, _ = torch.cuda.mem_get_info()
    return Hardware(
        kind="cuda",
        name=torch.cuda.get_device_name(),
        budget_mib=max(1024, free // MIB - RESERVE_MIB),
        host_mib=psutil.virtual_memory().available // 3 // MIB,
        versions={"torch": str(torch.__version__), "cuda": str(torch.version.cuda)},
        memory=used_and_total,
        release=release,
        wait=wait,
    )


def _collect() -> None:
    gc.collect()


def _nvidia_driver() -> bool:
    return any(os.path.exists(path) for path in ("/proc/driver/nvidia/version", "/dev/nvidiactl", "/dev/dxg"))  # noqa: PTH110
