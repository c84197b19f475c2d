"""One server a data folder."""

import signal
import subprocess
import sys

import pytest

from pergai.errors import HomeLocked
from pergai.paths import Home
from pergai.storage.lock import lock_home

HOLDER = """
import subprocess, sys, time
from pathlib import Path
from pergai.paths import Home
from pergai.storage.lock import lock_home
with lock_home(Home(Path(sys.argv[1]))):
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    print(child.pid, flush=True)
    time.sleep(60)
"""


def test_a_second_server_is_told_who_holds_the_folder(home: Home) -> None:
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(home.root)], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    child = int(holder.stdout.readline())
    try:
        with pytest.raises(HomeLocked, match=f"process {holder.pid}"), lock_home(home):
            pass
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        with lock_home(home):  # although the holder's child lives on
            subprocess.run(["kill", "-0", str(child)], check=True)
    finally:
        holder.kill()
        holder.wait()
        subprocess.run(["kill", "-9", str(child)], check=False)


def test_the_folder_is_free_again_after_the_block(home: Home) -> None:
    with lock_home(home):
        pass
    with lock_home(home):
        pass


def test_the_folder_is_free_again_after_an_error(home: Home) -> None:
    with pytest.raises(ZeroDivisionError), lock_home(home):
        _ = 1 / 0
    with lock_home(home), pytest.raises(HomeLocked), lock_home(home):
        pass
