"""The GPU benchmark cannot run here, but every row of it can, on a CPU with tiny nets: a slip in it must not cost a visit to the
machine it is for."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
GOALS = (
    *("same pictures as stock", "bare engine, CUDA graphs", "4 steps against 20", "beside the UNet", "memory"),
    *("MLPerf's shape", "8-bit weights", "Poisson", "4096²", "x4plus (goals", "BiRefNet-L"),
    *("small: graphs", "small: attention flash", "small: channels_last", "small: compile_vae"),
    *("small: compile_blocks", "small: compile"),
    *("small: fp8", "small: deep_cache 3", "small: gate 0.4", "small-xl: compile", "small: LoRAs in turn"),
    *("HTTP, small: images/s", "HTTP, small-xl: images/s", "HTTP, small: unloaded", "HTTP, x4plus", "cold start"),
)


@pytest.mark.slow
@pytest.mark.timeout(1600)
def test_every_row_of_the_gpu_benchmark_runs(tmp_path: Path) -> None:
    out = tmp_path / "gpu.json"
    command = ["benchmarks/gpu.sh", "--smoke", "--out", str(out)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PERGAI_")}
    environment["SECONDS_IN_ALL"] = "1500"
    done = subprocess.run(
        command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False, timeout=1550
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    record = json.loads(out.read_text())
    assert record["left out for lack of time"] == []
    assert {name: one for name, one in record["results"].items() if "error" in one} == {}
    for goal in GOALS:
        assert any(goal in name for name in record["results"]), goal
    for size in ("small", "small-xl"):
        found = record["results"][f"{size}: same pictures as stock, float32"]
        assert found["worst alone, of 255"] == 0
        assert found["worst in one batch, of 255"] <= 1


def test_a_row_that_fails_hangs_or_ends_the_process_is_recorded_and_the_others_go_on(tmp_path: Path) -> None:
    script = """
import sys, time
from pathlib import Path
from benchmarks.guarded import Bench
bench = Bench(Path(sys.argv[1]), 60, {}, resume=sys.argv[2] == "again")
bench.row("fine", 5, lambda: {"value": len(sys.argv)})
bench.row("broken", 5, lambda: 1 / 0)
bench.row("slow", 1, lambda: [time.sleep(0.1) for _ in range(100)])
bench.row("deadly", 5, lambda: __import__("os")._exit(70))
bench.row("last", 5, lambda: {"value": 2})
"""
    out = tmp_path / "gpu.json"
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    codes = [
        subprocess.run(
            [sys.executable, "-c", script, str(out), word], env=environment, capture_output=True, check=False
        ).returncode
        for word in ("first", "again")
    ]
    assert codes == [70, 0]
    results = json.loads(out.read_text())["results"]
    assert list(results) == ["fine", "broken", "slow", "deadly", "last"]
    assert (results["fine"], results["last"]) == ({"value": 3}, {"value": 2})
    assert "ZeroDivisionError" in results["broken"]["error"]
    assert "OutOfTime" in results["slow"]["error"]
    assert "ended the whole process" in results["deadly"]["error"]
