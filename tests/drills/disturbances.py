"""Clients that change their minds, at random moments: they cancel, delete products and run things again, while the engine
stands still now and then."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psutil
from studio import Studio

SLOTS = 4
"""Jobs that an engine on a CPU holds at once."""


class Disturbances(threading.Thread):
    """One after another in the background, until `finish`. `counts` tells what came of them."""

    def __init__(self, studio: Studio, chance: random.Random) -> None:
        super().__init__(daemon=True)
        self.counts: Counter[str] = Counter()
        self._studio = studio
        self._chance = chance
        self._acts = [*[self._cancel] * 6, *[self._delete] * 2, *[self._rerun] * 3, *[self._pause] * 3]
        self._over = threading.Event()
        self._pauses: list[threading.Thread] = []
        self._failures: list[BaseException] = []

    def run(self) -> None:
        try:
            while not self._over.wait(self._chance.uniform(0, 1)):
                while len(self._studio.passing) < 2:
                    self._studio.add_product(own_photo=self._chance.random() < 0.5)
                self._chance.choice(self._acts)()
        except BaseException as error:
            self._failures.append(error)

    def finish(self) -> None:
        """Wait until the last is over. Raises what a client met."""
        self._over.set()
        self.join(2 * self._studio.patience_seconds)
        assert not self.is_alive()
        for pause in self._pauses:
            pause.join()
        if self._failures:
            raise self._failures[0]

    def _cancel(self) -> None:
        """The job that has waited longest, which is probably inside the engine; the newest; or any."""
        waiting = [record["id"] for record in self._studio.records() if not self._studio.note(record)]
        if waiting:
            id = self._chance.choice([max(waiting), min(waiting), self._chance.choice(waiting)])
            self.counts[f"cancelled: {self._studio.cancel(id)}"] += 1

    def _delete(self) -> None:
        """Together with its jobs, and sometimes with the photo that other products are made from."""
        product = self._chance.choice(self._studio.passing)
        self.counts["jobs of deleted products"] += self._studio.delete_product(product)
        self.counts["products deleted"] += 1

    def _rerun(self) -> None:
        ended = [record for record in self._studio.records() if self._studio.note(record)]
        if ended and self._studio.rerun(self._chance.choice(ended)):
            self.counts["run again"] += 1

    def _pause(self) -> None:
        def stand_still(seconds: float) -> None:
            with engine_standing_still(self._studio):
                time.sleep(seconds)

        pause = threading.Thread(target=stand_still, args=(self._chance.uniform(0, 1),), daemon=True)
        pause.start()
        self._pauses.append(pause)
        self.counts["pauses of the engine"] += 1


@contextmanager
def engine_standing_still(studio: Studio) -> Iterator[None]:
    """As on a machine that has other things to do. The engine process may be killed meanwhile, or not be there."""
    pid = None
    with suppress(psutil.NoSuchProcess, ProcessLookupError):
        if (pid := studio.server.engine_pid()) is not None:
            os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        with suppress(ProcessLookupError):
            if pid is not None:
                os.kill(pid, signal.SIGCONT)


def take_back_on_the_way(studio: Studio, chance: random.Random, rounds: int = 4) -> Counter[str]:
    """Jobs that are cancelled, or lose their product, a moment after they were ordered, on their way to an engine that has
    nothing else to do. What came of them."""
    counts: Counter[str] = Counter()
    for number in range(rounds):
        studio.add_product(own_photo=number % 2 == 0)
        product = studio.passing[-1]
        with engine_standing_still(studio):
            ids = [studio.order(order, product) for order in range(SLOTS)]
            time.sleep(chance.uniform(0, 0.1))
            if number % 2:
                studio.delete_product(product)
            for id in ids:
                counts[f"taken back: {studio.cancel(id)}"] += 1
    return counts


def no_slot_is_lost(studio: Studio) -> None:
    """Nothing runs any more; as many fresh jobs as the engine holds are taken at once, and complete; then again nothing runs."""
    with studio.server.client() as client:
        ready, metrics = f"{studio.server.url}/readyz", f"{studio.server.url}/metrics"
        studio.wait_until(
            lambda: client.get(ready).json()["inside"] == 0, "jobs that have ended are still in the engine"
        )
        with engine_standing_still(studio):
            fresh = [studio.order(number, studio.product) for number in range(SLOTS)]
            studio.wait_until(lambda: studio.processing() == len(fresh), "the engine holds fewer jobs than before")
        studio.wait_for_ended(len(studio.promised))
        studio.wait_until(
            lambda: client.get(ready).json()["inside"] == 0, "jobs that have ended are still in the engine"
        )
        studio.wait_until(lambda: nothing_runs(client.get(metrics).text), "the metrics show work where there is none")


def nothing_runs(metrics: str) -> bool:
    lines = metrics.splitlines()
    return "pergai_engine_busy_seconds 0.0" in lines and not any(
        line.startswith("pergai_queue_depth{") for line in lines
    )
