"""The GPUs of this machine, asked of the driver through NVML: torch would take seconds to import, and CUDA to start."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    name: str
    driver: str
    used_bytes: int
    total_bytes: int
    utilization: float
    """Share of the last sampling period in which a kernel ran, 0-1."""


def gpus() -> list[Gpu]:
    """Every GPU now; none without an NVIDIA driver, or without the package of the extra `cuda`."""
    try:
        import pynvml  # noqa: PLC0415 - optional
    except ImportError:
        return []
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return []
    try:
        driver = str(pynvml.nvmlSystemGetDriverVersion())
        return [_look(pynvml.nvmlDeviceGetHandleByIndex(index), driver) for index in range(pynvml.nvmlDeviceGetCount())]
    finally:
        pynvml.nvmlShutdown()


def _look(handle: object, driver: str) -> Gpu:
    import pynvml  # noqa: PLC0415

    memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
    try:
        utilization = pynvml.nvmlDeviceGetUtilizationRates(handle).gpu / 100
    except pynvml.NVMLError:  # a slice of a partitioned GPU does not tell
        utilization = 0.0
    return Gpu(
        name=str(pynvml.nvmlDeviceGetName(handle)),
        driver=driver,
        used_bytes=int(memory.used),
        total_bytes=int(memory.total),
        utilization=utilization,
    )
