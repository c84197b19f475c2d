"""The demo end to end, as `make demo` runs it once everything is installed: seconds by step in an empty data folder, and
again in the same one, where textures are painted and the matte is cached.

python -m benchmarks.demo
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.results_file import write
from tests.runners.desk import WEIGHTS

STEP = re.compile(r"^  (\S.*?) +━+ +([\d.]+) s$", re.MULTILINE)
ALL = re.compile(r"([\d.]+) s in all")


def played(home: Path) -> dict[str, Any]:
    """What one run of the demo says of its own time."""
    environment = {**os.environ, "PERGAI_HOME": str(home), "PERGAI_WEIGHTS": str(WEIGHTS), "PERGAI_PORT": "0"}
    environment.pop("PERGAI_CONFIG", None)
    command = [sys.executable, "-m", "pergai", "demo", "--out", str(home / "demo")]
    said = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True).stdout
    total = ALL.search(said)
    assert total is not None, said
    return {"seconds": float(total[1]), "steps": {name: float(seconds) for name, seconds in STEP.findall(said)}}


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        first, again = played(Path(folder)), played(Path(folder))
    results = {"first": first, "again": again, "again over first": round(again["seconds"] / first["seconds"], 2)}
    write("demo", results, packages=("mitsuba", "torch", "onnxruntime"))


if __name__ == "__main__":
    main()
