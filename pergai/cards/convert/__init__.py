"""Turn what a publisher ships into what the loaders read. Only NumPy: no framework is needed to pull weights."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pergai.cards.convert import ncnn

Converter = Callable[[Path, Mapping[str, Any]], None]
"""Makes the card's files inside a folder from the downloaded ones beside them, given the card's options. The same
input gives the same bytes. Raises WeightsError."""

CONVERTERS: Mapping[str, Converter] = {"ncnn": ncnn.convert}
"""`convert` of a model card → what it names."""
