"""Models that leave the device for the host's memory, come beside others, are there before they are asked for."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from pergai.engine.core import Model
from pergai.engine.device import DeviceLoop
from pergai.engine.scheduler import Work
from pergai.errors import ModelUnavailable, OutOfMemory


class Diary:
    def __init__(self) -> None:
        self.loads: list[str] = []
        self.unloads: list[str] = []

    def ran(self, model: str, size: int, seconds: float) -> None: ...

    def loaded(self, model: str, mib: int, seconds: float) -> None:
        self.loads.append(model)

    def unloaded(self, model: str) -> None:
        self.unloads.append(model)


class Lamp:
    """A model that can be put aside. Answers how often it has been moved."""

    max_batch = 4

    def __init__(self, *, room: int = 100, stuck: bool = False) -> None:
        self.here = True
        self.moves = 0
        self.room = room
        self.stuck = stuck

    def run(self, payloads: Sequence[Any]) -> Sequence[int]:
        assert self.here
        if len(payloads) > self.room:
            raise MemoryError("too much")
        return [self.moves for _ in payloads]

    def park(self) -> None:
        if self.stuck:
            raise RuntimeError("the host will not pin so much")
        self.here = False
        self.moves += 1

    def unpark(self) -> None:
        if self.moves > 1:
            raise MemoryError("no room any more")
        self.here = True
        self.moves += 1


@dataclass(eq=False)
class Guided:
    """A payload that brings a companion."""

    beside: dict[str, Any]
    seen: list[dict[str, Any]] = field(default_factory=list)


class Host:
    """A model whose payloads bring others."""

    max_batch = 4

    def run(self, payloads: Sequence[Guided]) -> Sequence[str]:
        for payload in payloads:
            payload.seen.append(dict(payload.beside))
        return ["done" for _ in payloads]


@contextmanager
def device(
    models: dict[str, Any], *, mib: int = 50, budget: int = 100, **more: Any
) -> Iterator[tuple[DeviceLoop, Diary, list[str]]]:
    diary, made = Diary(), []

    def load(name: str) -> tuple[Model, int]:
        made.append(name)
        if isinstance(models[name], Exception):
            raise models[name]
        if isinstance(models[name], Lamp):
            models[name].here = True
        return models[name], mib

    loop = DeviceLoop(
        load=load, stated_mib=lambda _: mib, release=lambda: None, budget_mib=budget, watcher=diary, **more
    )
    loop.start()
    try:
        yield loop, diary, made
    finally:
        loop.stop()
        loop.join(10)


def asked(loop: DeviceLoop, model: str, payload: Any = None) -> Any:
    return loop.submit(Work(job="j", library="a", model=model, shape=None, payload=payload)).result(10)


def test_a_model_that_had_to_leave_comes_back_without_being_loaded_again() -> None:
    with device({name: Lamp() for name in "abc"}, host_mib=100) as (loop, diary, made):
        assert [asked(loop, name) for name in "abca"] == [0, 0, 0, 2]
        assert made == ["a", "b", "c"]
        assert diary.loads == ["a", "b", "c", "a"]
        assert diary.unloads == ["a", "b"]


def test_the_hosts_memory_has_a_budget_of_its_own() -> None:
    with device({name: Lamp() for name in "abcd"}, host_mib=60) as (loop, _, made):
        for name in "abcd":  # a is put aside, then makes room for b
            asked(loop, name)
        asked(loop, "b")
        asked(loop, "a")
        assert made == ["a", "b", "c", "d", "a"]


def test_without_memory_beside_the_device_models_are_dropped() -> None:
    with device({name: Lamp() for name in "abc"}) as (loop, _, made):
        for name in "abca":
            asked(loop, name)
        assert made == ["a", "b", "c", "a"]


def test_a_model_that_cannot_be_put_aside_or_brought_back_is_loaded_afresh() -> None:
    with device({"a": Lamp(stuck=True), "b": Lamp(), "c": Lamp()}, host_mib=1000) as (loop, _, made):
        for name in "abca":
            asked(loop, name)
        assert made == ["a", "b", "c", "a"]
        for name in "cbacb":  # b's second way back fails
            asked(loop, name)
        assert made.count("b") == 2


def test_companions_are_there_for_a_turn_and_are_not_driven_out_by_their_own_host() -> None:
    companion = object()
    with device({"host": Host(), "net": companion, "x": Lamp()}) as (loop, diary, _):
        for _ in range(2):
            payload = Guided({"net": None})
            assert asked(loop, "host", payload) == "done"
            assert payload.seen == [{"net": companion}]
            assert payload.beside == {"net": None}
        assert diary.loads == ["host", "net"]
        asked(loop, "x")
        assert asked(loop, "host", Guided({"net": None})) == "done"
        assert diary.unloads[0] == "host"  # the least recently used, and back again in place of x


def test_a_companion_that_cannot_be_loaded_fails_its_request_by_name() -> None:
    with device({"host": Host(), "net": ModelUnavailable("net is missing")}) as (loop, _, _made):
        with pytest.raises(ModelUnavailable, match="net is missing"):
            asked(loop, "host", Guided({"net": None}))
        assert asked(loop, "host", Guided({})) == "done"


def test_memory_that_runs_out_drives_out_others_but_no_companion() -> None:
    class Hungry(Host):
        def run(self, payloads: Sequence[Guided]) -> Sequence[str]:
            raise MemoryError("too much")

    with device({"host": Hungry(), "net": object(), "x": Lamp()}, mib=10) as (loop, diary, _):
        asked(loop, "x")
        with pytest.raises(OutOfMemory):
            asked(loop, "host", Guided({"net": None}))
        assert diary.unloads == ["x"]


def test_warm_models_are_there_before_anything_is_asked_and_a_missing_one_holds_nobody_up() -> None:
    class Stove(Lamp):
        warm = False

        def warm_up(self) -> None:
            self.warm = True

    stove = Stove()
    models = {"a": Lamp(), "gone": ModelUnavailable("not pulled"), "b": stove}
    with device(models, warm=("a", "gone", "b")) as (loop, diary, made):
        assert asked(loop, "a") == 0
        assert made == ["a", "gone", "b"]
        assert diary.loads == ["a", "b"]
        assert stove.warm


def test_files_of_a_model_that_is_not_there_are_read_ahead_once_while_the_device_is_busy() -> None:
    busy, read = threading.Event(), []

    class Slow(Lamp):
        def run(self, payloads: Sequence[Any]) -> Sequence[int]:
            busy.wait(10)
            return [0 for _ in payloads]

    there = threading.Event()

    def note(name: str) -> None:
        read.append(name)
        if name == "net":
            there.set()

    models = {"slow": Slow(), "host": Host(), "net": object()}
    with device(models, mib=1, read_ahead=note) as (loop, _, made):
        first = loop.submit(Work(job="1", library="a", model="slow", shape=None, payload=None))
        waiting = [
            loop.submit(Work(job=str(n), library="a", model="host", shape=None, payload=Guided({"net": None})))
            for n in (2, 3)
        ]
        assert there.wait(10)  # the device is still inside its first call
        assert "host" not in made
        busy.set()
        assert [future.result(10) for future in (first, *waiting)] == [0, "done", "done"]
        assert sorted(read) == ["host", "net", "slow"]
