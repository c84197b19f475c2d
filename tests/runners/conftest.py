"""Runners are imported before torch is: they set how its threads wait for each other (ten times, on busy cores)."""

import pergai.runners  # noqa: F401
