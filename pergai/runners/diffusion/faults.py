"""What the device's errors mean to the engine.

Out of memory becomes MemoryError, which the engine answers by halving the batch. An error that CUDA keeps repeating
("sticky": illegal address, assert on the device, a GPU that fell off the bus) ends the process: nothing on this
device will work again in it, and the API process starts a fresh one within seconds.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import torch

log = logging.getLogger(__name__)

EXIT_CODE = 70
"""EX_SOFTWARE (sysexits.h)."""

FULL = ("out of memory", "can't allocate memory", "STATUS_ALLOC_FAILED", "calling `cublasCreate")
"""How CUDA's libraries say that there is no memory for their own needs; torch makes plain errors of it."""
STICKY = ("CUDA error", "device-side assert", "cudaError", "CUBLAS_STATUS_EXECUTION_FAILED", "CUDNN_STATUS_EXECUTION")


@contextmanager
def translated() -> Iterator[None]:
    """Run device work under these rules. Raises MemoryError when the device has no memory left."""
    try:
        yield
    except RuntimeError as error:
        if is_full(error):
            raise MemoryError(str(error).partition("\n")[0][:300]) from None
        if is_sticky(error):
            _leave(error)
        raise


def is_full(error: BaseException) -> bool:
    """Whether memory ran out."""
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or any(mark in str(error) for mark in FULL)


def is_sticky(error: BaseException) -> bool:
    """Whether the device is lost to this process. What CUDA says of a recording that failed ("… when stream is capturing",
    "… during capture") is over with the recording."""
    if "captur" in str(error):
        return False
    accelerator = getattr(torch, "AcceleratorError", None)
    return (accelerator is not None and isinstance(error, accelerator)) or any(mark in str(error) for mark in STICKY)


def _leave(error: BaseException) -> None:
    log.critical("the device is lost to this process, which ends: %s", str(error).partition("\n")[0])
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(EXIT_CODE)
