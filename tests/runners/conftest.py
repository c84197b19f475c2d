"""Runners are imported before torch is: they set how its threads wait for each other."""

import pergai.runners  # noqa: F401
