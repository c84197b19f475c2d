"""The README's tables are made from the code; this says when they are not true any more, and `python -m tests.docs.test_readme`
writes them again."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from pergai.cli.inspect import settings
from pergai.errors import CardError, HomeLocked, JobError, PergaiError, SettingsError, WeightsError, error_codes

README = Path(__file__).parents[2] / "README.md"
SET_UP = (CardError, WeightsError, SettingsError, HomeLocked)


def error_table() -> str:
    lines = ["| code | status | |", "|---|---|---|"]
    kinds = [kind for kind in error_codes().values() if not issubclass(kind, SET_UP)]
    for kind in sorted(kinds, key=lambda kind: (issubclass(kind, JobError), kind.status)):
        status = "job" if issubclass(kind, JobError) else str(kind.status)
        lines.append(f"| `{kind.code}` | {status} | {kind.title} |")
    return "\n".join(lines)


def settings_table() -> str:
    return CliRunner().invoke(settings).output


TABLES = {"error codes": error_table, "settings": settings_table}


def block(name: str) -> re.Pattern[str]:
    return re.compile(rf"(<!-- {name}:[^\n]*-->\n)(.*?)(<!-- /{name} -->)", re.DOTALL)


@pytest.mark.parametrize("name", TABLES)
def test_the_table_is_true(name: str) -> None:
    found = block(name).search(README.read_text())
    assert found is not None
    assert found[2].strip() == TABLES[name]().strip()


def test_every_code_is_used_once() -> None:
    kinds = {PergaiError, *error_codes().values()}
    assert len({kind.code for kind in kinds}) == len(kinds)


def test_every_benchmark_and_command_the_readme_names_exists() -> None:
    text = README.read_text()
    modules = re.findall(r"python -m (benchmarks\.\w+)", text)
    imports = [sys.executable, "-c", f"import {', '.join(modules)}"]
    done = subprocess.run(imports, cwd=README.parent, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    makefile = (README.parent / "Makefile").read_text()
    for target in re.findall(r"(?:`|^    )make (\w[\w-]*)", text, re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


if __name__ == "__main__":
    text = README.read_text()
    for name, table in TABLES.items():
        written = table().strip()
        text = block(name).sub(lambda found, written=written: f"{found[1]}{written}\n{found[3]}", text)
    README.write_text(text)
