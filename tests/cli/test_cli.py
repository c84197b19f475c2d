"""The command line as a studio uses it: real processes, a real data folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from pergai.cli import pergai as group
from pergai.paths import Home, default_home
from pergai.services.keys import is_well_formed
from pergai.settings import describe_settings
from pergai.storage.lock import lock_home

COMMANDS = ("serve", "demo", "doctor", "models", "keys", "providers", "settings", "openapi")
HEAVY = ("torch", "litestar", "sqlalchemy", "sqlmodel", "pydantic", "numpy", "PIL", "httpx", "rich.progress")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


def pergai(*words: str, home: Path | None = None, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PERGAI_")}
    environment |= {"COLUMNS": "200", **variables}
    if home is not None:
        environment["PERGAI_HOME"] = str(home)
    command = [sys.executable, "-m", "pergai", *words]
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False, timeout=120)


def test_help_names_every_command() -> None:
    done = pergai("--help")
    assert done.returncode == 0
    assert all(f" {command} " in done.stdout for command in COMMANDS)


def test_help_imports_nothing_heavy() -> None:
    """Why `pergai --help` takes less than 0.3 s (python -X importtime -m pergai --help)."""
    code = f"import sys, pergai.cli; print([name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str) -> None:
    done = CliRunner().invoke(group, [command, "--help"])
    assert done.exit_code == 0
    assert "Usage:" in done.output


def test_a_key_is_printed_alone_so_that_a_script_can_take_it(home: Path) -> None:
    done = pergai("keys", "create", "shop", "--library", "studio", "--read-only", home=home)
    assert done.returncode == 0
    assert is_well_formed(done.stdout.strip())
    assert "read-only key of library studio" in done.stderr


def test_keys_are_listed_without_their_secret_and_can_be_revoked(home: Path) -> None:
    key = pergai("keys", "create", "shop", home=home).stdout.strip()
    header, row = pergai("keys", "list", home=home).stdout.splitlines()
    shown = dict(zip(header.split("\t"), row.split("\t"), strict=True))
    assert (shown["name"], shown["library"], shown["state"]) == ("shop", "default", "valid")
    assert key not in row
    assert key[-4:] in shown["key"]
    assert pergai("keys", "revoke", shown["id"], home=home).returncode == 0
    assert "revoked" in pergai("keys", "list", home=home).stdout.splitlines()[1]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("keys", "revoke", "nonsense"), "no key with this id"),
        (("keys", "create", "shop", "--library", "../etc"), "not a name of a library"),
        (("providers", "--config", "nonsense"), "no profile 'nonsense'"),
        (("providers", "--config", "/nowhere.toml"), "no profile '/nowhere.toml'"),
        (("models", "pull", "nonsense"), "nonsense is not one of"),
    ],
)
def test_a_mistake_is_one_clear_line_and_no_traceback(words: tuple[str, ...], said: str, home: Path) -> None:
    done = pergai(*words, home=home)
    assert done.returncode != 0
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_without_a_word_the_command_and_make_mean_the_same_data_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else `pergai keys create` beside `make serve` would make a key of another server."""
    monkeypatch.delenv("PERGAI_HOME", raising=False)
    checkout = Path(__file__).resolve().parents[2]
    assert default_home() == checkout / "data"
    assert "PERGAI_HOME ?= $(CURDIR)/data" in (checkout / "Makefile").read_text()


def test_a_misspelt_variable_is_refused(home: Path) -> None:
    done = pergai("providers", home=home, PERGAI_PROT="3003")
    assert done.returncode == 1
    assert "PERGAI_PROT" in done.stderr


def test_offline_a_pull_says_what_to_bring(home: Path) -> None:
    done = pergai("models", "pull", "u2netp", home=home, PERGAI_OFFLINE="1")
    assert done.returncode == 1
    assert "PERGAI_OFFLINE" in done.stderr
    assert not (home / "weights" / "u2netp").exists()


def test_what_a_profile_can_do_without_may_be_missing_of_it(home: Path, weights_folder: Path) -> None:
    (home / "weights").mkdir(parents=True)
    for folder in weights_folder.iterdir():
        if folder.is_dir() and folder.name not in ("isnet", "llvm"):
            (home / "weights" / folder.name).symlink_to(folder)
    done = pergai("models", "pull", "--embedded", home=home, PERGAI_OFFLINE="1")
    assert done.returncode == 0
    said = " ".join(done.stderr.split())
    assert "until `pergai models pull isnet`, u2netp does the work of isnet" in said
    assert "until `pergai models pull llvm`, LLVM is done without, unless the system has it" in said
    assert str(home / "weights" / "u2netp") in done.stdout
    alone = pergai("models", "pull", "isnet", home=home, PERGAI_OFFLINE="1")
    assert alone.returncode == 1
    offered = pergai("providers", "--config", "embedded", home=home)
    assert ["nano-banana", "remove-bg (default)", "cutout", "u2netp, mitsuba", "yes"] in [
        line.split("\t") for line in offered.stdout.splitlines()
    ]


def test_a_licence_that_forbids_commerce_has_to_be_accepted(home: Path) -> None:
    refused = pergai("models", "pull", "sdxl-turbo", home=home, PERGAI_OFFLINE="1")
    assert refused.returncode == 1
    assert "--accept-licence sdxl-turbo" in refused.stderr
    accepted = pergai("models", "pull", "sdxl-turbo", "--accept-licence", "sdxl-turbo", home=home, PERGAI_OFFLINE="1")
    assert "PERGAI_OFFLINE forbids the network" in accepted.stderr  # it would be pulled
    unknown = pergai("serve", "--accept-licence", "sdxl", "--port", "0", home=home)
    assert unknown.returncode == 1
    assert "accept_licences: 'sdxl' is not one of" in unknown.stderr


def test_weights_travel_to_a_machine_without_a_network(home: Path, tmp_path: Path, weights_folder: Path) -> None:
    disk = tmp_path / "disk"
    assert (
        pergai("models", "export", str(disk), "u2netp", home=tmp_path, PERGAI_WEIGHTS=str(weights_folder)).returncode
        == 0
    )
    assert pergai("models", "import", str(disk), home=home, PERGAI_OFFLINE="1").returncode == 0
    assert pergai("models", "verify", "u2netp", home=home).stdout == "u2netp: as its card says\n"
    (home / "weights" / "u2netp" / "u2netp.onnx").write_bytes(b"damaged")
    damaged = pergai("models", "verify", "u2netp", home=home)
    assert damaged.returncode == 1
    assert "expected" in damaged.stdout
    assert pergai("models", "rm", "u2netp", home=home).returncode == 0
    assert not (home / "weights" / "u2netp").exists()


def test_the_list_of_models_says_what_the_profile_needs(home: Path, weights_folder: Path) -> None:
    done = pergai("models", "list", "--config", "embedded", home=home, PERGAI_WEIGHTS=str(weights_folder))
    header, *rows = (line.split("\t") for line in done.stdout.splitlines())
    cards = {row[0]: dict(zip(header, row, strict=True)) for row in rows}
    for id in ("isnet", "u2netp"):
        assert (cards[id]["weights"], cards[id]["profile"]) == ("present", "needed")
    assert cards["birefnet-general"]["profile"] == ""


def test_providers_says_which_pipeline_does_what(home: Path, weights_folder: Path) -> None:
    done = pergai("providers", "--config", "embedded", home=home, PERGAI_WEIGHTS=str(weights_folder))
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    assert ["nano-banana", "remove-bg (default)", "cutout", "isnet, mitsuba", "yes"] in rows


def test_settings_is_the_table_of_every_setting() -> None:
    lines = pergai("settings").stdout.splitlines()
    assert lines[0] == "| variable | default | meaning |"
    assert [line.split("`")[1] for line in lines[2:]] == [
        f"PERGAI_{name.upper()}" for name, _, _ in describe_settings()
    ]
    assert "| `PERGAI_PORT` | `3002` | Port to listen on; 0 takes a free one. |" in lines


def test_openapi_is_written_without_touching_the_data_folder(home: Path, tmp_path: Path) -> None:
    target = tmp_path / "openapi.json"
    done = pergai("openapi", "-o", str(target), home=home)
    assert done.returncode == 0, done.stderr
    document = json.loads(target.read_text())
    assert "/api/external/v1/products" in document["paths"]
    assert not home.exists()


def test_a_second_server_on_the_same_folder_is_refused_in_one_line(home: Path) -> None:
    paths = Home(home)
    paths.create()
    with lock_home(paths):
        done = pergai("serve", "--port", "0", home=home)
    assert done.returncode == 1
    assert f"used by another server (process {os.getpid()})" in done.stderr
    assert len(done.stderr.splitlines()) == 1
