"""ncnn's nameless weights are read to the last byte, or refused."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from pergai.cards.convert.ncnn import convert, read_ncnn
from pergai.errors import WeightsError

OPTIONS = {"architecture": "SRVGGNetCompact", "features": 4, "convolutions": 1, "scale": 2}
PARAM = """7767517
7 8
Input        data   0 1 data
Convolution  Conv_0 1 1 data a 0=4 1=3 4=1 5=1 6=108
PReLU        P_1    1 1 a b 0=4
Convolution  Conv_2 1 1 b c 0=4 1=3 4=1 5=1 6=144
PReLU        P_3    1 1 c d 0=4
Convolution  Conv_4 1 1 d e 0=12 1=3 4=1 5=1 6=432
PixelShuffle S_5    1 1 e output 0=2
"""
FP16, FP32 = 0x01306B47, 0


def weights() -> bytes:
    """The first convolution in fp16, the others in fp32; every number is its place in its layer."""
    parts = [struct.pack("<I", FP16), np.arange(108, dtype="<f2").tobytes(), np.arange(4, dtype="<f4").tobytes()]
    parts.append(np.arange(4, dtype="<f4").tobytes())
    parts += [struct.pack("<I", FP32), np.arange(144, dtype="<f4").tobytes(), np.arange(4, dtype="<f4").tobytes()]
    parts.append(np.arange(4, dtype="<f4").tobytes())
    parts += [struct.pack("<I", FP32), np.arange(432, dtype="<f4").tobytes(), np.arange(12, dtype="<f4").tobytes()]
    return b"".join(parts)


def written(folder: Path, param: str = PARAM, binary: bytes | None = None) -> tuple[Path, Path]:
    (folder / "network.param").write_text(param)
    (folder / "network.bin").write_bytes(weights() if binary is None else binary)
    return folder / "network.param", folder / "network.bin"


def test_tensors_get_upstreams_names_and_keep_their_precision(tmp_path: Path) -> None:
    tensors = read_ncnn(*written(tmp_path), OPTIONS)
    assert {name: (tensor.shape, str(tensor.dtype)) for name, tensor in tensors.items()} == {
        "body.0.weight": ((4, 3, 3, 3), "float16"),
        "body.0.bias": ((4,), "float32"),
        "body.1.weight": ((4,), "float32"),
        "body.2.weight": ((4, 4, 3, 3), "float32"),
        "body.2.bias": ((4,), "float32"),
        "body.3.weight": ((4,), "float32"),
        "body.4.weight": ((12, 4, 3, 3), "float32"),
        "body.4.bias": ((12,), "float32"),
    }
    assert tensors["body.0.weight"][1, 0, 0, 0] == 27  # OIHW: the second output channel begins after 3 * 3 * 3


def test_the_same_input_gives_the_same_bytes(tmp_path: Path) -> None:
    made = []
    for name in ("one", "two"):
        folder = tmp_path / name
        folder.mkdir()
        written(folder)
        convert(folder, OPTIONS)
        made.append((folder / "model.safetensors").read_bytes())
    assert made[0] == made[1]
    assert len(load_file(tmp_path / "one" / "model.safetensors")) == 8


@pytest.mark.parametrize(
    ("param", "binary", "message"),
    [
        (PARAM, weights()[:-1], "cut short"),
        (PARAM, weights() + b"\0\0\0\0", "4 bytes are left over"),
        (PARAM, b"\1\2\3\4" + weights()[4:], "unknown weight flag 0x04030201"),
        (PARAM, b"", "cut short"),
        ("", weights(), "not an ncnn network"),
        (PARAM.rsplit("\n", 2)[0], weights(), "states 7 layers and lists 6"),
        (PARAM.replace("PReLU        P_3", "Convolution P_3"), weights(), "P_3 is a Convolution"),
        (PARAM.replace("6=144", "6=145"), weights(), "145 weights"),
        (PARAM.replace("0=12 1=3", "0=12 1=5"), weights(), "5 kernel size"),
        (PARAM.replace("5=1 6=144", "6=144"), weights(), "0 bias terms"),
        (PARAM.replace("6=144", "6=many"), weights(), "whole number"),
        (PARAM.replace("PReLU        P_3", "Sigmoid      P_3"), weights(), "4 layers with weights"),
    ],
    ids=lambda value: value if isinstance(value, str) and "\n" not in value else "",
)
def test_anything_amiss_is_refused(tmp_path: Path, param: str, binary: bytes, message: str) -> None:
    with pytest.raises(WeightsError, match=message):
        read_ncnn(*written(tmp_path, param, binary), OPTIONS)


def test_another_architecture_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="'SwinIR'"):
        read_ncnn(*written(tmp_path), {**OPTIONS, "architecture": "SwinIR"})
    with pytest.raises(WeightsError, match="lacks 'growth'"):
        read_ncnn(*written(tmp_path), {**OPTIONS, "architecture": "RRDBNet"})
