"""What the doctor finds in a healthy folder, in a sick one, and what it mends."""

from __future__ import annotations

import json
import os
import platform
import socket
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from pergai.telemetry.gpu import gpus


@pytest.fixture
def home(tmp_path: Path, weights_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in [name for name in os.environ if name.startswith(("PERGAI_", "DRJIT_LIBLLVM_PATH"))]:
        monkeypatch.delenv(name)
    folder = tmp_path / "home"
    monkeypatch.setenv("PERGAI_HOME", str(folder))
    monkeypatch.setenv("PERGAI_WEIGHTS", str(weights_folder))
    monkeypatch.setenv("PERGAI_CONFIG", "embedded")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        monkeypatch.setenv("PERGAI_PORT", str(probe.getsockname()[1]))
    pergai("keys", "create", "shop")  # makes the folder and the database
    return folder


def pergai(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pergai", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def doctor(*words: str) -> tuple[int, dict[str, dict[str, Any]]]:
    done = pergai("doctor", "--json", *words)
    assert not done.stderr, done.stderr
    return done.returncode, {finding["subject"]: finding for finding in json.loads(done.stdout)}


def test_a_healthy_folder_has_no_problem(home: Path) -> None:
    code, findings = doctor()
    assert [found for found in findings.values() if found["level"] == "problem"] == []
    assert code == 0
    assert {"machine", "device", "memory", "folder", "server", "port", "disk", "SQLite", "database"} <= findings.keys()
    assert findings["weights of u2netp"]["detail"].startswith("present and verified")


def test_the_variant_that_renders_is_named_and_what_a_faster_one_needs(
    home: Path, weights_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = weights_folder / "llvm" / "lib" / "libLLVM.so"
    if (sys.platform, platform.machine()) == ("linux", "x86_64") and not gpus():
        assert doctor()[1]["renderer"]["detail"] == f"llvm, compiled by {library.absolute()}"
    monkeypatch.setenv("DRJIT_LIBLLVM_PATH", str(home / "no-library.so"))
    done = pergai("doctor", "--json")
    assert done.returncode == 0
    (renderer,) = (found for found in json.loads(done.stdout) if found["subject"] == "renderer")
    if not gpus():
        assert renderer["level"] == "note"
        assert renderer["advice"].startswith("pergai models pull llvm")
        assert "mitsuba variant llvm does not work here" in done.stderr


def test_an_old_sqlite_is_named_with_what_it_means(home: Path) -> None:
    _, findings = doctor()
    assert findings["SQLite"]["detail"].startswith(sqlite3.sqlite_version)
    if sqlite3.sqlite_version_info < (3, 44):
        assert "WAL-reset race" in findings["SQLite"]["detail"]


def test_missing_weights_are_a_problem_with_the_command_that_brings_them(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PERGAI_WEIGHTS", str(tmp_path / "empty"))
    code, findings = doctor()
    assert code == 1
    assert findings["weights of u2netp"]["level"] == "problem"
    assert findings["weights of u2netp"]["advice"] == "pergai models pull u2netp"


def test_a_port_in_use_is_a_problem(home: Path) -> None:
    with socket.create_server(("127.0.0.1", int(os.environ["PERGAI_PORT"]))):
        code, findings = doctor()
    assert code == 1
    assert "in use" in findings["port"]["detail"]


def test_a_broken_database_is_a_problem(home: Path) -> None:
    database = home / "pergai.db"
    for path in home.glob("pergai.db-*"):
        path.unlink()
    database.write_bytes(database.read_bytes()[:8192] + os.urandom(database.stat().st_size - 8192))
    code, findings = doctor()
    assert code == 1
    assert findings["database"]["level"] == "problem"


def test_a_profile_that_names_what_there_is_not_is_a_problem(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    profile = tmp_path / "own.toml"
    profile.write_text('[providers.mine]\ntitle = "Mine"\nscene = "nonsense"\n')
    monkeypatch.setenv("PERGAI_CONFIG", str(profile))
    code, findings = doctor()
    assert code == 1
    assert "nonsense" in findings["profile"]["detail"]


def test_fix_closes_an_open_folder_and_clears_leftovers_and_orphans(home: Path) -> None:
    home.chmod(0o755)
    (home / "tmp" / "unfinished.png").write_bytes(b"x")
    orphan = home / "files" / "default" / "generations" / "orphan.png"
    orphan.parent.mkdir(parents=True)
    orphan.write_bytes(b"x")
    yesterday = time.time() - 86400
    os.utime(orphan, (yesterday, yesterday))

    code, before = doctor()
    assert code == 1
    assert before["folder"]["level"] == "problem"
    assert before["unfinished files"]["level"] == "note"
    assert "1 files without a row" in before["files and rows"]["detail"]

    code, after = doctor("--fix")
    assert code == 0
    assert {found["level"] for found in after.values()} == {"ok"}
    assert home.stat().st_mode & 0o777 == 0o700
    assert not orphan.exists()
    assert list((home / "tmp").iterdir()) == []


def test_the_table_for_people_says_the_same(home: Path) -> None:
    done = pergai("doctor")
    assert done.returncode == 0
    assert "✓" in done.stdout
    assert "SQLite" in done.stdout
