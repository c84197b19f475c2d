"""The inspection of uploads: every file ends in a clear answer, and nothing it does reaches this process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image

from pergai.errors import PergaiError, TooLarge, UnreadableImage
from pergai.imaging.inspect import InspectLimits, inspect_file
from tests.imaging.hostile import ACCEPTED, HOSTILE, HostileFile, saved


@pytest.mark.parametrize("file", HOSTILE, ids=lambda file: file.name)
def test_every_odd_file_ends_as_expected(file: HostileFile, tmp_path: Path) -> None:
    path = tmp_path / "upload"
    path.write_bytes(file.data)
    try:
        info = inspect_file(path)
    except PergaiError as error:
        assert error.code == file.expected
        assert 10 < len(error.detail) < 300
    else:
        assert file.expected == ACCEPTED
        assert info.format in ("jpeg", "png", "webp", "tiff", "avif", "heic", "bmp")
        assert min(info.width, info.height) >= 16


def test_a_file_that_kills_its_decoder_is_refused_and_the_next_is_taken(tmp_path: Path, sample_photo: Path) -> None:
    killers = [file for file in HOSTILE if file.kills]
    assert killers
    for file in killers:
        path = tmp_path / "killer"
        path.write_bytes(file.data)
        with pytest.raises(UnreadableImage, match="crash"):
            inspect_file(path)
        assert inspect_file(sample_photo).width == 600


def test_the_list_is_long_and_its_names_are_distinct() -> None:
    assert len({file.name for file in HOSTILE}) == len(HOSTILE) >= 45


def test_a_good_photo_is_described(sample_photo: Path) -> None:
    info = inspect_file(sample_photo)
    assert (info.format, info.width, info.height, info.frames, info.has_alpha) == ("png", 600, 400, 1, False)


def test_a_name_that_looks_like_an_option_or_has_a_line_break_is_only_a_name(
    sample_photo: Path, tmp_path: Path
) -> None:
    for name in ("--help", "two\nlines.png", "umlaut ü.png", "x.png[page=3]"):
        path = tmp_path / name
        path.write_bytes(sample_photo.read_bytes())
        assert inspect_file(path).width == 600


# --- limits ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """25 megapixels in a few kB: 100 MB once decoded."""
    path = tmp_path_factory.mktemp("large") / "large.png"
    path.write_bytes(saved(Image.new("RGB", (5000, 5000), (200, 30, 40)), "PNG"))
    return path


def test_bytes_are_limited(sample_photo: Path) -> None:
    with pytest.raises(TooLarge, match="MiB"):
        inspect_file(sample_photo, limits=InspectLimits(max_bytes=1000))


def test_pixels_are_limited(large: Path) -> None:
    assert inspect_file(large, limits=InspectLimits(max_pixels=25_000_000)).width == 5000
    with pytest.raises(TooLarge, match=r"25\.0 megapixels"):
        inspect_file(large, limits=InspectLimits(max_pixels=24_999_999))


def test_memory_is_limited_and_only_there(large: Path, sample_photo: Path) -> None:
    with pytest.raises(TooLarge, match="memory"):
        inspect_file(large, limits=InspectLimits(memory_mib=320))
    assert inspect_file(sample_photo, limits=InspectLimits(memory_mib=1024)).width == 600


def test_time_is_limited(large: Path, sample_photo: Path) -> None:
    with pytest.raises(TooLarge, match=r"longer than 0\.02 seconds"):
        inspect_file(large, limits=InspectLimits(seconds=0.02))
    assert inspect_file(sample_photo).width == 600


def test_a_file_that_never_ends_is_given_up(tmp_path: Path) -> None:
    """A named pipe blocks whoever opens it."""
    path = tmp_path / "pipe.png"
    os.mkfifo(path)
    with pytest.raises(TooLarge, match="longer than"):
        inspect_file(path, limits=InspectLimits(seconds=0.3))


# --- processes -------------------------------------------------------------------------------------


def warm_processes() -> list[psutil.Process]:
    return [child for child in psutil.Process().children() if "pergai.imaging.inspect" in child.cmdline()]


def test_a_warm_process_that_was_killed_is_replaced(sample_photo: Path) -> None:
    inspect_file(sample_photo)
    killed = warm_processes()
    assert killed
    for process in killed:
        process.send_signal(signal.SIGKILL)
    assert inspect_file(sample_photo).width == 600


def test_many_threads_may_ask_at_once_and_two_processes_are_kept(sample_photo: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(sample_photo.read_bytes()[:5000])

    def ask(path: Path) -> int | str:
        try:
            return inspect_file(path).width
        except UnreadableImage as error:
            return error.code

    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(ask, [sample_photo, broken, sample_photo] * 4))
    assert answers == [600, "unreadable_image", 600] * 4
    assert len(warm_processes()) <= 2


def test_no_process_outlives_the_one_that_asked(sample_photo: Path) -> None:
    """Killed without a chance to clean up."""
    script = (
        "import os, signal, sys, psutil, pathlib\n"
        "from pergai.imaging.inspect import inspect_file\n"
        "inspect_file(pathlib.Path(sys.argv[1]))\n"
        "print(*[child.pid for child in psutil.Process().children()], flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(sample_photo)], capture_output=True, check=False)
    left = [psutil.Process(int(pid)) for pid in done.stdout.split() if psutil.pid_exists(int(pid))]
    assert done.stdout.strip()
    _, alive = psutil.wait_procs(left, timeout=10)
    assert not [process for process in alive if process.status() != psutil.STATUS_ZOMBIE]


def test_an_inspection_leaves_no_file_behind(tmp_path: Path) -> None:
    path = tmp_path / "upload.png"
    Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save(path)
    inspect_file(path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["upload.png"]
