"""What the durability and contract tests do a few times and `make campaign` does many times: one function a drill.

Each takes how often, and `done`, which hears of every round; it raises AssertionError at the first thing that is wrong.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

Done: TypeAlias = Callable[[], None]


def nobody() -> None:
    """For `done`, when nobody counts."""
