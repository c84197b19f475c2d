"""The device thread: batches, poisoned payloads, memory that runs out, models that come and go."""

from __future__ import annotations

import gc
import threading
import time
import weakref
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any

import pytest

from pergai.engine import scheduler
from pergai.engine.core import UNFINISHED, Model
from pergai.engine.device import DeviceLoop
from pergai.engine.scheduler import Work
from pergai.errors import ModelUnavailable, OutOfMemory


class Diary:
    """What the device did."""

    def __init__(self) -> None:
        self.runs: list[tuple[str, int]] = []
        self.loads: list[str] = []
        self.unloads: list[str] = []

    def ran(self, model: str, size: int, seconds: float) -> None:
        self.runs.append((model, size))

    def loaded(self, model: str, mib: int, seconds: float) -> None:
        self.loads.append(model)

    def unloaded(self, model: str) -> None:
        self.unloads.append(model)


class Doubler:
    """Doubles numbers; refuses "poison"; has memory for `room` payloads at once."""

    def __init__(self, max_batch: int = 8, room: int = 1000) -> None:
        self.max_batch = max_batch
        self.room = room
        self.gate = threading.Event()
        self.gate.set()

    def run(self, payloads: Sequence[Any]) -> Sequence[Any]:
        self.gate.wait(10)
        if len(payloads) > self.room:
            raise MemoryError("too much at once")
        if "poison" in payloads:
            raise ValueError("cannot digest this")
        return [payload * 2 for payload in payloads]


@contextmanager
def device(models: dict[str, Any], mib: int = 10, budget: int = 100, **more: Any) -> Iterator[tuple[DeviceLoop, Diary]]:
    diary = Diary()

    def load(name: str) -> tuple[Model, int]:
        model = models[name]
        if isinstance(model, Exception):
            raise model
        return model, mib

    callbacks = {"load": load, "release": lambda: None, "watcher": diary, **more}
    loop = DeviceLoop(stated_mib=lambda _: mib, budget_mib=budget, **callbacks)
    loop.start()
    try:
        yield loop, diary
    finally:
        loop.stop()
        loop.join(10)


def work(payload: Any, job: str = "j", model: str = "doubler") -> Work:
    return Work(job=job, library="a", model=model, shape=None, payload=payload)


def test_payloads_of_one_shape_share_a_run() -> None:
    doubler = Doubler()
    doubler.gate.clear()
    with device({"doubler": doubler}) as (loop, diary):
        futures = [loop.submit(work(number)) for number in range(8)]
        doubler.gate.set()
        assert [future.result(10) for future in futures] == [0, 2, 4, 6, 8, 10, 12, 14]
        assert sum(size for _, size in diary.runs) == 8
        assert len(diary.runs) <= 3


def test_a_poisoned_payload_in_a_batch_of_eight_fails_alone() -> None:
    doubler = Doubler()
    doubler.gate.clear()
    with device({"doubler": doubler}) as (loop, _):
        futures = [loop.submit(work("poison" if number == 3 else number)) for number in range(8)]
        doubler.gate.set()
        with pytest.raises(ValueError, match="digest"):
            futures[3].result(10)
        assert [future.result(10) for i, future in enumerate(futures) if i != 3] == [0, 2, 4, 8, 10, 12, 14]


def test_a_batch_too_large_for_the_memory_is_halved_until_it_fits() -> None:
    doubler = Doubler(room=2)
    doubler.gate.clear()
    with device({"doubler": doubler}) as (loop, diary):
        futures = [loop.submit(work(number)) for number in range(8)]
        doubler.gate.set()
        assert [future.result(10) for future in futures] == [0, 2, 4, 6, 8, 10, 12, 14]
        assert max(size for _, size in diary.runs) == 2


def test_a_payload_that_does_not_even_fit_alone_fails_with_advice_after_the_others_were_unloaded() -> None:
    with device({"doubler": Doubler(room=0), "other": Doubler()}) as (loop, diary):
        assert loop.submit(work(1, model="other")).result(10) == 2
        with pytest.raises(OutOfMemory, match="smaller"):
            loop.submit(work(1)).result(10)
        assert diary.unloads == ["other"]


class Tensor:
    """What a device's memory is taken up by."""


class Greedy(Doubler):
    """Each call takes memory for its payloads, which only comes back when nobody knows of it any more."""

    def __init__(self, room: int, error: type[Exception]) -> None:
        super().__init__(room=room)
        self.error = error
        self.taken: list[weakref.ref[Tensor]] = []
        self.held: list[int] = []

    def run(self, payloads: Sequence[Any]) -> Sequence[Any]:
        self.gate.wait(10)
        self.held.append(sum(one() is not None for one in self.taken))
        return self._inside(payloads)

    def _inside(self, payloads: Sequence[Any]) -> Sequence[Any]:
        activations = [Tensor() for _ in payloads]
        self.taken += [weakref.ref(one) for one in activations]
        if len(payloads) > self.room:
            try:
                raise self.error(f"{len(activations)} at once")
            except self.error as error:  # as torch's errors become the engine's
                raise self.error(str(error)) from None
        return payloads


@pytest.mark.parametrize("error", [MemoryError, ValueError])
def test_what_a_failed_call_had_taken_is_free_before_the_next_try(error: type[Exception]) -> None:
    model = Greedy(room=1, error=error)
    model.gate.clear()
    gc.disable()
    try:
        with device({"doubler": model}) as (loop, _):
            futures = [loop.submit(work(number)) for number in range(8)]
            model.gate.set()
            assert [future.result(10) for future in futures] == list(range(8))
    finally:
        gc.enable()
    assert len(model.held) > 8
    assert set(model.held) == {0}


def test_an_idle_device_holds_on_to_no_payload() -> None:
    with device({"doubler": Greedy(room=9, error=ValueError)}) as (loop, _):
        payload = Tensor()
        known = weakref.ref(payload)
        assert loop.submit(work(payload)).result(10) is payload
        del payload
        patience = time.monotonic() + 5
        while known() is not None and time.monotonic() < patience:
            time.sleep(0.01)
        assert known() is None


def test_a_model_that_finds_the_device_fuller_than_its_cards_say_drives_the_others_out() -> None:
    models = {"other": Doubler(), "doubler": Doubler()}
    diary_of: list[Diary] = []

    def load(name: str) -> tuple[Model, int]:
        if name == "doubler" and not diary_of[0].unloads:
            raise MemoryError("CUDA out of memory")
        return models[name], 10

    with device(models, load=load) as (loop, diary):
        diary_of.append(diary)
        assert loop.submit(work(1, model="other")).result(10) == 2
        assert loop.submit(work(2)).result(10) == 4
        assert diary.unloads == ["other"]


def test_a_model_too_large_for_an_empty_device_says_so() -> None:
    with device({"doubler": MemoryError("CUDA out of memory")}) as (loop, _):
        error = loop.submit(work(1)).exception(10)
    assert isinstance(error, OutOfMemory)
    assert "does not fit" in str(error)


def test_a_turn_ends_when_the_device_has_done_it_and_not_when_it_was_told() -> None:
    """As a GPU works: calls come back at once."""
    told: list[float] = []
    seconds: list[float] = []

    class Teller(Doubler):
        def run(self, payloads: Sequence[Any]) -> Sequence[Any]:
            told.append(0.05)
            return super().run(payloads)

    class Clock(Diary):
        def ran(self, model: str, size: int, spent: float) -> None:
            seconds.append(spent)

    with device({"doubler": Teller()}, wait=lambda: time.sleep(told.pop()), watcher=Clock()) as (loop, _):
        assert loop.submit(work(1)).result(10) == 2
        assert seconds[0] >= 0.05


def test_the_thread_outlives_what_it_cannot_make_sense_of() -> None:
    class Forgetful(Doubler):
        def run(self, payloads: Sequence[Any]) -> Sequence[Any]:
            return super().run(payloads)[: 0 if "lost" in payloads else None]

    with device({"doubler": Forgetful()}) as (loop, _):
        lost = loop.submit(work("lost"))
        with pytest.raises(ValueError, match="shorter"):
            lost.result(10)
        assert loop.submit(work(2)).result(10) == 4


def test_models_leave_when_their_memory_is_needed_and_come_back() -> None:
    with device({name: Doubler() for name in "abc"}, mib=50, budget=100) as (loop, diary):
        for name in "abca":
            assert loop.submit(work(1, model=name)).result(10) == 2
        assert diary.loads == ["a", "b", "c", "a"]
        assert diary.unloads == ["a", "b"]


def test_a_model_that_cannot_be_loaded_fails_its_payloads_and_no_others() -> None:
    with device({"broken": RuntimeError("not a checkpoint"), "doubler": Doubler()}) as (loop, _):
        broken = loop.submit(work(1, model="broken"))
        with pytest.raises(ModelUnavailable, match="not a checkpoint"):
            broken.result(10)
        assert loop.submit(work(2)).result(10) == 4


class Counter:
    """Counts payloads down, one a turn: a model that works in steps."""

    max_batch = 4

    def __init__(self) -> None:
        self.turns: list[tuple[str, ...]] = []

    def run(self, payloads: Sequence[Any]) -> Sequence[Any]:
        self.turns.append(tuple(payload["name"] for payload in payloads))
        for payload in payloads:
            payload["left"] -= 1
            if payload.get("gate"):
                payload["gate"].wait(10)
        return [UNFINISHED if payload["left"] else payload["name"] for payload in payloads]


def test_a_payload_joins_at_the_next_step_and_leaves_when_it_is_done() -> None:
    counter = Counter()
    gate = threading.Event()
    with device({"doubler": counter}) as (loop, _):
        long = loop.submit(work({"name": "long", "left": 6, "gate": gate}))
        short = loop.submit(work({"name": "short", "left": 2}, job="other"))
        gate.set()
        assert short.result(10) == "short"
        assert long.result(10) == "long"
        assert ("long", "short") in counter.turns or ("short", "long") in counter.turns
        assert len(counter.turns) <= 7


def test_a_cancelled_payload_leaves_after_its_step() -> None:
    counter = Counter()
    gate = threading.Event()
    with device({"doubler": counter}) as (loop, _):
        endless = loop.submit(work({"name": "endless", "left": 10**9, "gate": gate}))
        while not counter.turns:
            threading.Event().wait(0.01)
        assert endless.cancel()
        gate.set()
        assert loop.submit(work({"name": "next", "left": 1})).result(10) == "next"


def test_a_withdrawn_job_is_not_run() -> None:
    doubler = Doubler(max_batch=1)
    doubler.gate.clear()
    with device({"doubler": doubler}) as (loop, diary):
        first = loop.submit(work(1, job="first"))
        second = loop.submit(work(2, job="second"))
        loop.withdraw("second")
        doubler.gate.set()
        assert first.result(10) == 2
        assert second.cancelled()
        assert loop.submit(work(3, job="third")).result(10) == 6
        assert len(diary.runs) == 2


class Reader(Counter):
    """Counts one payload down, and looks up for no other before that is done."""

    max_batch = 1

    def __init__(self) -> None:
        super().__init__()
        self.forgot: list[str] = []

    def forget(self) -> None:
        self.forgot.append(threading.current_thread().name)


class Caller(Doubler):
    """Is busy until somebody hangs up."""

    def __init__(self) -> None:
        super().__init__()
        self.busy = threading.Event()

    def run(self, payloads: Sequence[Any]) -> Sequence[Any]:
        self.busy.set()
        return super().run(payloads)


@contextmanager
def reading(
    turns: int, **more: Any
) -> Iterator[tuple[DeviceLoop, Diary, Reader, Caller, Future[Any], threading.Event]]:
    """A device in the first turn of a long read, which ends with the event; a caller is loaded, too."""
    reader, caller, gate = Reader(), Caller(), threading.Event()
    with device({"reader": reader, "caller": caller, "third": Doubler()}, **more) as (loop, diary):
        loop.submit(work(0, model="caller")).result(10)
        caller.busy.clear()
        read = loop.submit(work({"name": "long", "left": turns, "gate": gate}, job="reads", model="reader"))
        while not reader.turns:
            time.sleep(0.001)
        yield loop, diary, reader, caller, read, gate


def test_a_model_absorbed_in_a_payload_does_it_to_the_end_while_others_work() -> None:
    with reading(5) as (loop, diary, reader, _, long, gate):
        other = Work(
            job="k", library="b", model="reader", shape=None, payload={"name": "other", "left": 2}, urgent=True
        )
        call = Work(job="l", library="c", model="caller", shape=None, payload=4, urgent=True)
        futures = loop.submit(other), loop.submit(call)
        gate.set()
        assert [future.result(10) for future in (long, *futures)] == ["long", "other", 8]
        assert reader.turns == [("long",)] * 5 + [("other",)] * 2
        assert reader.forgot == []
        between = [model for model, _ in diary.runs[2:6]]
        assert between.count("caller") == 1, "it waited for all of the first"


@pytest.mark.parametrize("between_turns", [False, True])
def test_what_a_model_is_absorbed_in_is_let_go_on_the_device_thread_when_it_is_cancelled(between_turns: bool) -> None:
    with reading(10**9) as (loop, _, reader, caller, endless, gate):
        if between_turns:
            caller.gate.clear()
            loop.submit(Work(job="l", library="c", model="caller", shape=None, payload=4, urgent=True))
            gate.set()
            assert caller.busy.wait(10)
        loop.withdraw("reads")
        endless.cancel()
        gate.set()
        caller.gate.set()
        assert loop.submit(work({"name": "next", "left": 1}, model="reader")).result(10) == "next"
        assert reader.forgot == ["device"]


def test_a_model_absorbed_in_a_payload_does_not_leave_for_another(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would have to begin anew."""
    monkeypatch.setattr(scheduler, "RELOAD", 0.0)
    with reading(3, mib=40, budget=100) as (loop, diary, *_, long, gate):
        last_used = loop.submit(Work(job="l", library="c", model="caller", shape=None, payload=4, urgent=True))
        third = loop.submit(Work(job="m", library="c", model="third", shape=None, payload=4, urgent=True))
        gate.set()
        assert last_used.result(10) == 8
        assert third.result(10) == 8
        assert long.result(10) == "long"
        assert diary.unloads == ["caller"]
        assert [model for model, _ in diary.runs[:4]] == ["caller", "reader", "caller", "third"]


class Painter:
    """Works in two colours of paint, three turns a picture; another colour takes a while to mix."""

    max_batch = 4

    def __init__(self) -> None:
        self.colour, self.mixed = "", 0
        self.turns: dict[int, int] = {}

    def set_up(self, payload: tuple[int, str]) -> None:
        if payload[1] != self.colour:
            self.colour, self.mixed = payload[1], self.mixed + 1
            time.sleep(0.1)

    def run(self, payloads: Sequence[tuple[int, str]]) -> Sequence[Any]:
        assert {colour for _, colour in payloads} == {self.colour}
        time.sleep(0.01)
        for number, _ in payloads:
            self.turns[number] = self.turns.get(number, 0) + 1
        return [colour if self.turns[number] == 3 else UNFINISHED for number, colour in payloads]


def test_a_model_is_set_up_for_each_batch_and_not_for_every_turn_when_that_takes_long() -> None:
    painter = Painter()
    with device({"painter": painter}) as (loop, diary):
        colours = [("red", "blue")[number % 2] for number in range(8)]
        futures = [
            loop.submit(Work(job="j", library="a", model="painter", shape=None, setup=colour, payload=(number, colour)))
            for number, colour in enumerate(colours)
        ]
        assert [future.result(10) for future in futures] == colours
    assert painter.mixed <= 4  # of some seven turns
    assert max(size for _, size in diary.runs) == 4
