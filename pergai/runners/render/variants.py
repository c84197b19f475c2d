"""Which of Mitsuba's variants works on this machine."""

from __future__ import annotations

import ctypes.util
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from pergai.cards.structs import ModelCard
from pergai.errors import ModelUnavailable

log = logging.getLogger(__name__)

VARIANTS = {"cuda": "cuda_ad_rgb", "llvm": "llvm_ad_rgb", "scalar": "scalar_rgb"}

LLVM = "DRJIT_LIBLLVM_PATH"
"""The variable by which Dr.Jit is told of its compiler."""
NEWEST_LLVM, OLDEST_LLVM = 22, 16
"""LLVM 15 crashes while it generates code, 14 is not understood."""


def fastest(card: ModelCard, folder: Path, device: str) -> str:
    """The fastest variant that works here: cuda, llvm, scalar. For llvm, Dr.Jit is told of its library by the variable `LLVM`.

    `card.options`: `variants` (which to try, in order). `card.helper` is the LLVM library, beside `folder` if it is here.
    Raises ModelUnavailable when no variant works.
    """
    wanted = card.options.get("variants", list(VARIANTS))
    for variant in wanted:
        if variant == "cuda" and not device.startswith("cuda"):
            continue
        environments = _compilers(folder.parent / card.helper) if variant == "llvm" else iter([{}])
        for environment in environments:
            trouble = _self_test(variant, environment)
            if not trouble:
                os.environ.update(environment)
                return str(variant)
            log.warning("mitsuba variant %s does not work here: %s", variant, trouble)
    raise ModelUnavailable(f"no variant of Mitsuba works here (tried {', '.join(wanted)})")


def _compilers(pulled: Path) -> Iterator[dict[str, str]]:
    """What tells Dr.Jit of an LLVM library, the best first: the one that the environment names, or the one in the folder of
    weights `pulled`, which is the same on all machines, and the system's, from the newest on."""
    if os.environ.get(LLVM):
        yield {}
        return
    if (library := (pulled / "lib" / "libLLVM.so").absolute()).is_file():
        yield {LLVM: str(library)}
    for version in range(NEWEST_LLVM, OLDEST_LLVM - 1, -1):
        if found := ctypes.util.find_library(f"LLVM-{version}"):
            yield {LLVM: found}


_SELF_TEST = """
import mitsuba as mi, numpy as np
mi.set_variant("VARIANT")
camera = mi.ScalarTransform4f().look_at([0, -4, 0], [0, 0, 0], [0, 0, 1])
film = {"type": "hdrfilm", "width": 8, "height": 8}
scene = mi.load_dict({
    "type": "scene", "light": {"type": "constant"}, "ball": {"type": "sphere"}, "integrator": {"type": "path"},
    "camera": {"type": "perspective", "to_world": camera, "film": film},
})
picture = np.array(mi.render(scene, spp=4))
assert np.isfinite(picture).all() and 0.2 < picture.mean() < 1.5
"""


def _self_test(variant: str, environment: dict[str, str]) -> str:
    """Render a grey ball in a child process, so that a crash there is not ours. "" when it went well."""
    code = _SELF_TEST.replace("VARIANT", VARIANTS[variant])
    try:
        done = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True, text=True, timeout=120, check=False, env={**os.environ, **environment},
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return "the self-test took more than two minutes"
    if done.returncode == 0:
        return ""
    lines = done.stderr.strip().splitlines()
    return lines[-1] if lines else f"the self-test ended with code {done.returncode}"
