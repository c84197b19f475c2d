"""Rows of a benchmark on a machine that is hard to come by: each within its time, its error its result, and the others go on."""

from __future__ import annotations

import json
import signal
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from typing import Any

Work = Callable[[], Any]


def _nothing() -> None:
    """After a row that leaves nothing behind."""


class OutOfTime(BaseException):
    """The row's budget is spent. Not an Exception: nothing between may take it for its own."""


class Bench:
    """Rows, each guarded, and the file they go to. With `resume` the rows that are in the file are not done again."""

    def __init__(
        self,
        out: Path,
        seconds: float,
        about: dict[str, Any],
        *,
        resume: bool,
        patience: float = 1.0,
        after: Work = _nothing,
    ) -> None:
        """`about` heads the file; budgets are taken `patience` times; `after` is called after each row."""
        self.results: dict[str, Any] = {}
        self.left_out: list[str] = []
        self._out = out
        self._end = perf_counter() + seconds
        self._about = about
        self._patience = patience
        self._after = after
        if resume and out.exists():
            kept = json.loads(out.read_text())
            self.results = kept["results"]
            if kept["running"]:
                self.results[kept["running"]] = {"error": "it ended the whole process"}

    def row(self, name: str, budget: float, work: Work, *, always: bool = False) -> Any:
        """Do one row within its budget of seconds; what it found, or {} where it failed or was left out. `always`: later rows
        need what it makes, also in a process that resumes."""
        if name in self.results and (not always or "error" in self.results[name]):
            return {} if "error" in self.results[name] else self.results[name]
        budget *= self._patience
        if perf_counter() + budget / 2 > self._end:
            self.left_out.append(name)
            self.write()
            return {}
        self.write(running=name)
        started = perf_counter()
        try:
            with limit(min(budget, self._end - perf_counter())):
                found = work()
        except (Exception, OutOfTime) as error:
            where = traceback.extract_tb(error.__traceback__)[-1]
            told = f"{type(error).__name__}: {error}"[:500]
            found = {"error": f"{told} ({Path(where.filename).name}:{where.lineno})"}
        self._after()
        self.results[name] = found
        print(f"{name} ({perf_counter() - started:.1f} s): {json.dumps(found)}", flush=True)
        self.write()
        return {} if "error" in found else found

    def write(self, running: str = "") -> None:
        record = {
            **self._about,
            "results": self.results,
            "left out for lack of time": self.left_out,
            "running": running,
        }
        self._out.parent.mkdir(parents=True, exist_ok=True)
        self._out.write_text(json.dumps(record, indent=2) + "\n")


@contextmanager
def limit(seconds: float) -> Iterator[None]:
    """Raises OutOfTime in the main thread. A call into the device is not broken off, the next line of Python is."""

    def over(*_: object) -> None:
        raise OutOfTime(f"more than {seconds:.0f} seconds")

    before = signal.signal(signal.SIGALRM, over)
    signal.setitimer(signal.ITIMER_REAL, max(1.0, seconds))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
