"""Read the weights of an ncnn network (https://github.com/Tencent/ncnn) into safetensors, under the names that the
PyTorch release of the same network uses.

A `.param` file lists the layers in forward order. The `.bin` file beside it holds their weights in that order, without
names: for a Convolution a uint32 flag (0x01306B47: fp16 weights follow, padded to 4 bytes; 0: fp32), the weights in OIHW
order, then the fp32 bias; for a PReLU its fp32 slopes. So the order of the layers is the only key to the names, and
every layer's kind and shape is checked against the architecture the card states.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors.numpy import save_file

from pergai.errors import WeightsError

PARAM_MAGIC = "7767517"
FLAG_FP32 = 0
FLAG_FP16 = 0x01306B47

Tensors = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Layer:
    """One line of a `.param` file that owns weights."""

    kind: str
    name: str
    fields: Mapping[int, str]

    def integer(self, key: int, default: int | None = None) -> int:
        value = self.fields.get(key)
        if value is None and default is not None:
            return default
        try:
            return int(value or "")
        except ValueError:
            raise WeightsError(f"layer {self.name}: field {key} should be a whole number, but is {value!r}") from None


@dataclass(frozen=True, slots=True)
class Slot:
    """What an architecture expects next: a PyTorch module, by name, with the shape of its weight."""

    name: str
    shape: tuple[int, ...]

    @property
    def kind(self) -> str:
        return "Convolution" if len(self.shape) == 4 else "PReLU"


def convert(folder: Path, options: Mapping[str, Any]) -> None:
    """Make `model.safetensors` from the one `.param` and `.bin` in `folder`.

    `options` are a card's: `architecture` ("RRDBNet" or "SRVGGNetCompact") and its sizes. Weights keep the precision they
    are stored in. Raises WeightsError when a layer is not what the architecture expects or a byte is left over.
    """
    tensors = read_ncnn(_only(folder, ".param"), _only(folder, ".bin"), options)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def read_ncnn(param: Path, binary: Path, options: Mapping[str, Any]) -> Tensors:
    """The tensors of a network by their PyTorch names. Raises WeightsError."""
    layers = list(read_param(param.read_text(encoding="utf-8", errors="replace"), param.name))
    slots = list(slots_of(options))
    if len(layers) != len(slots):
        raise WeightsError(
            f"{param.name} holds {len(layers)} layers with weights, but {options['architecture']} of this size {len(slots)}"
        )
    reader = _Reader(binary.read_bytes(), binary.name)
    tensors: Tensors = {}
    for layer, slot in zip(layers, slots, strict=True):
        if layer.kind != slot.kind:
            raise WeightsError(f"{param.name}: layer {layer.name} is a {layer.kind}, but {slot.name} is a {slot.kind}")
        if layer.kind == "PReLU":
            _check(layer, "slopes", layer.integer(0), slot.shape[0])
            tensors[f"{slot.name}.weight"] = reader.floats(slot.shape[0])
            continue
        _check(layer, "channels", layer.integer(0), slot.shape[0])
        _check(layer, "kernel size", layer.integer(1), slot.shape[3])
        _check(layer, "kernel height", layer.integer(11, layer.integer(1)), slot.shape[2])
        _check(layer, "bias terms", layer.integer(5, 0), 1)
        _check(layer, "weights", layer.integer(6), math.prod(slot.shape))
        tensors[f"{slot.name}.weight"] = reader.flagged(math.prod(slot.shape)).reshape(slot.shape)
        tensors[f"{slot.name}.bias"] = reader.floats(slot.shape[0])
    reader.finish()
    return tensors


def read_param(text: str, name: str) -> Iterator[Layer]:
    """The layers of a `.param` file that own weights, in forward order. Raises WeightsError."""
    lines = text.split("\n")
    if lines[0].strip() != PARAM_MAGIC or len(lines) < 2:
        raise WeightsError(f"{name} is not an ncnn network: it should begin with {PARAM_MAGIC}")
    rows = [line.split() for line in lines[2:] if line.strip()]
    stated = lines[1].split()
    if not stated or stated[0] != str(len(rows)):
        raise WeightsError(
            f"{name} is cut short: it states {stated[0] if stated else 'no'} layers and lists {len(rows)}"
        )
    for row in rows:
        # kind, name, how many inputs, how many outputs, their names, then key=value
        if len(row) < 4 or not (row[2].isdigit() and row[3].isdigit()):
            raise WeightsError(f"{name}: cannot read the line {' '.join(row)[:80]!r}")
        if row[0] not in ("Convolution", "PReLU"):
            continue
        pairs = (field.partition("=") for field in row[4 + int(row[2]) + int(row[3]) :])
        yield Layer(row[0], row[1], {int(key): value for key, _, value in pairs if key.lstrip("-").isdigit()})


def slots_of(options: Mapping[str, Any]) -> Iterator[Slot]:
    """The modules with weights of an architecture, in forward order. Raises WeightsError for an unknown one."""
    try:
        features, scale = int(options["features"]), int(options["scale"])
        match options["architecture"]:
            case "RRDBNet":
                yield from _rrdb(features, int(options["growth"]), int(options["blocks"]))
            case "SRVGGNetCompact":
                yield from _srvgg(features, int(options["convolutions"]), scale)
            case other:
                raise WeightsError(
                    f"options.architecture is {other!r}; ncnn weights are read for RRDBNet, SRVGGNetCompact"
                )
    except KeyError as error:
        raise WeightsError(f"options lacks {error.args[0]!r}, which the ncnn converter needs") from None


def _rrdb(features: int, growth: int, blocks: int) -> Iterator[Slot]:
    yield Slot("conv_first", (features, 3, 3, 3))
    for block in range(blocks):
        for dense in (1, 2, 3):
            for conv in range(1, 6):
                out = growth if conv < 5 else features
                yield Slot(f"body.{block}.rdb{dense}.conv{conv}", (out, features + (conv - 1) * growth, 3, 3))
    for name in ("conv_body", "conv_up1", "conv_up2", "conv_hr"):
        yield Slot(name, (features, features, 3, 3))
    yield Slot("conv_last", (3, features, 3, 3))


def _srvgg(features: int, convolutions: int, scale: int) -> Iterator[Slot]:
    yield Slot("body.0", (features, 3, 3, 3))
    yield Slot("body.1", (features,))
    for index in range(1, convolutions + 1):
        yield Slot(f"body.{2 * index}", (features, features, 3, 3))
        yield Slot(f"body.{2 * index + 1}", (features,))
    yield Slot(f"body.{2 * convolutions + 2}", (3 * scale * scale, features, 3, 3))


class _Reader:
    """Takes a `.bin` file apart from front to back."""

    def __init__(self, data: bytes, name: str) -> None:
        self._data, self._name, self._at = data, name, 0

    def floats(self, count: int) -> npt.NDArray[np.float32]:
        return np.frombuffer(self._take(4 * count), "<f4").astype(np.float32)

    def flagged(self, count: int) -> npt.NDArray[Any]:
        (flag,) = struct.unpack("<I", self._take(4))
        if flag == FLAG_FP32:
            return self.floats(count)
        if flag == FLAG_FP16:
            padded = (2 * count + 3) & ~3
            return np.frombuffer(self._take(padded)[: 2 * count], "<f2").astype(np.float16)
        raise WeightsError(f"{self._name}: unknown weight flag {flag:#010x} at byte {self._at - 4}")

    def finish(self) -> None:
        if self._at != len(self._data):
            raise WeightsError(f"{self._name}: {len(self._data) - self._at} bytes are left over after the last layer")

    def _take(self, count: int) -> bytes:
        if self._at + count > len(self._data):
            raise WeightsError(f"{self._name} is cut short: {len(self._data)} bytes, more are needed")
        taken = self._data[self._at : self._at + count]
        self._at += count
        return taken


def _check(layer: Layer, what: str, got: int, expected: int) -> None:
    if got != expected:
        raise WeightsError(f"layer {layer.name} has {got} {what}, but the card's architecture {expected}")


def _only(folder: Path, suffix: str) -> Path:
    found = sorted(folder.glob(f"*{suffix}"))
    if len(found) != 1:
        raise WeightsError(f"the ncnn converter needs one {suffix} file, but there are {len(found)}")
    return found[0]
