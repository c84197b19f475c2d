"""The device is shared fairly, models are not loaded in turn, nothing starves, and work of one shape shares a batch.

Time is simulated: a turn takes what the test says it takes.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pergai.engine.scheduler import LONGEST_SETUP, LOOKAHEAD, PATIENCE, RELOAD, Scheduler, Work

Cost = Callable[[int], float]


def work(
    library: str = "a",
    model: str = "m",
    shape: object = None,
    job: str = "j",
    urgent: bool = False,
    turns: int = 1,
    setup: Hashable = None,
) -> Work:
    return Work(
        job=job, library=library, model=model, shape=shape, payload=turns, urgent=urgent, turns=turns, setup=setup
    )


def drain(scheduler: Scheduler, loaded: tuple[str, ...] = ("m",), batch: int = 1, seconds: float = 1.0) -> list[Work]:
    done: list[Work] = []
    while taken := scheduler.next(loaded, lambda _: batch):
        scheduler.charge(taken, seconds)
        done += taken
    return done


class Device:
    """Runs work turn by turn, and remembers when each job ended. `payload` is how many turns it really needs. The model
    `absorbed` takes one at a time, to its end."""

    def __init__(self, cost: Cost, batch: int, change: float = 0.0) -> None:
        self.scheduler = Scheduler()
        self.cost, self.batch, self.change = cost, batch, change
        self.worn: Hashable = None
        self.changes = 0
        self.now = 0.0
        self.turns: list[list[Work]] = []
        self.ended: dict[str, float] = {}

    def turn(self, arriving: Sequence[Work] = ()) -> bool:
        """One turn, during which work arrives; False when there was nothing to do."""
        taken = self.scheduler.next(("m", "absorbed"), lambda model: self.batch if model == "m" else 1)
        for item in arriving:
            self.scheduler.add(item)
        if not taken:
            return False
        change = 0.0
        if taken[0].setup != self.worn:
            self.worn, self.changes, change = taken[0].setup, self.changes + 1, self.change
        seconds = self.cost(len(taken)) + change
        self.now += seconds
        self.turns.append(taken)
        for item in taken:
            item.payload -= 1
            if item.payload:
                self.scheduler.put_back(item, absorbs=item.model == "absorbed")
            else:
                self.ended[item.job] = self.now
        self.scheduler.charge(taken, seconds, change)
        return True


# --- order ------------------------------------------------------------------------------------------


def test_work_of_one_library_runs_in_the_order_it_came() -> None:
    scheduler = Scheduler()
    items = [work(job=str(number)) for number in range(5)]
    for item in items:
        scheduler.add(item)
        scheduler.charge([item], 0.1)
    assert drain(scheduler) == items


def test_short_work_does_not_wait_for_long_work_that_came_with_it() -> None:
    scheduler = Scheduler()
    for name, turns in (("long", 30), ("short", 4)):
        scheduler.add(work(job=name, turns=turns))
    assert scheduler.next(("m",), lambda _: 1)[0].job == "short"


def test_work_that_a_client_waits_for_goes_first() -> None:
    scheduler = Scheduler()
    for number in range(3):
        scheduler.add(work(job=str(number)))
    scheduler.add(work(job="urgent", urgent=True))
    assert drain(scheduler)[0].job == "urgent"


def test_clients_that_wait_do_not_buy_their_library_a_larger_share() -> None:
    device = Device(lambda _: 1.0, batch=1)
    for number in range(30):
        device.scheduler.add(work("hasty", job=f"h{number}", urgent=True))
        device.scheduler.add(work("calm", job=f"c{number}"))
    for _ in range(20):
        device.turn()
    assert 8 <= sum(taken[0].library == "calm" for taken in device.turns) <= 12


def test_a_batch_holds_only_one_model_and_shape_and_no_more_than_the_model_takes() -> None:
    scheduler = Scheduler()
    for number in range(6):
        scheduler.add(work(shape=number % 2, job=str(number)))
    scheduler.add(work(model="other", shape=0))
    batch = scheduler.next(("m", "other"), lambda _: 2)
    assert len(batch) == 2
    assert len({(item.model, item.shape) for item in batch}) == 1


def test_work_joins_the_turn_after_it_came_and_leaves_when_it_is_done() -> None:
    device = Device(lambda size: 0.01 + 0.01 * size, batch=4)
    device.scheduler.add(work(job="long", turns=9))
    device.turn()
    device.turn(arriving=[work(job="short", turns=2)])
    while device.turn():
        pass
    assert [len(taken) for taken in device.turns] == [1, 1, 2, 2, 1, 1, 1, 1, 1]


def test_a_withdrawn_job_never_runs_and_its_neighbours_do() -> None:
    scheduler = Scheduler()
    for number in range(6):
        scheduler.add(work(job="gone" if number % 2 else "stays"))
    assert len(scheduler.withdraw("gone")) == 3
    assert [item.job for item in drain(scheduler)] == ["stays"] * 3
    assert len(scheduler) == 0


# --- shares -----------------------------------------------------------------------------------------


def test_a_small_library_does_not_wait_behind_a_large_one() -> None:
    scheduler = Scheduler()
    for number in range(100):
        scheduler.add(work("large", job=str(number)))
    for _ in range(10):
        scheduler.charge(scheduler.next(("m",), lambda _: 1), 1.0)
    scheduler.add(work("small"))
    order = [item.library for item in drain(scheduler)]
    assert order.index("small") <= 1


def test_an_idle_library_saves_up_no_credit() -> None:
    scheduler = Scheduler()
    scheduler.add(work("late"))
    drain(scheduler)
    for number in range(50):
        scheduler.add(work("busy", job=str(number)))
    for _ in range(40):
        scheduler.charge(scheduler.next(("m",), lambda _: 1), 1.0)
    for number in range(20):
        scheduler.add(work("late", job=str(number)))
    order = [item.library for item in drain(scheduler)][:10]
    assert 4 <= order.count("busy") <= 6


def test_a_library_that_uses_long_calls_gets_fewer_of_them() -> None:
    scheduler = Scheduler()
    for number in range(40):
        scheduler.add(work("long", model="slow", job=str(number)))
        scheduler.add(work("short", model="fast", job=str(number)))
    seconds = {"long": 0.0, "short": 0.0}
    for _ in range(20):
        batch = scheduler.next(("slow", "fast"), lambda _: 1)
        cost = 4.0 if batch[0].library == "long" else 1.0
        scheduler.charge(batch, cost)
        seconds[batch[0].library] += cost
    assert abs(seconds["long"] - seconds["short"]) <= 4.0


@settings(derandomize=True, max_examples=60, deadline=None)
@given(
    fixed=st.floats(0.001, 0.05),
    each=st.floats(0.001, 0.05),
    others=st.integers(1, 3),
    steps=st.integers(1, 30),
    moment=st.integers(1, 60),
)
def test_beside_n_busy_libraries_a_job_takes_at_most_n_plus_one_times_its_own_time_and_two_turns(
    fixed: float, each: float, others: int, steps: int, moment: int
) -> None:
    def cost(size: int) -> float:
        return fixed + each * size

    device = Device(cost, batch=16)
    for library in range(others):
        for number in range(64):
            device.scheduler.add(work(f"busy{library}", job=f"{library}-{number}", turns=200))
    for _ in range(moment):
        device.turn()
    came = device.now
    device.turn(arriving=[work("light", job="light", turns=steps)])
    while "light" not in device.ended:
        device.turn()
    assert device.ended["light"] - came <= (others + 1) * steps * cost(1) + 2 * cost(16) + 1e-9


@settings(derandomize=True, max_examples=80, deadline=None)
@given(
    fixed=st.floats(0.001, 0.05),
    each=st.floats(0.001, 0.05),
    others=st.integers(1, 3),
    steps=st.integers(1, 60),
    moment=st.integers(70, 140),
    shapes=st.sampled_from(["same", "another", "each another", "the same and another", "two others"]),
)
def test_beside_n_busy_libraries_a_job_of_two_full_turns_and_more_takes_at_most_n_plus_one_times_its_own_time(
    fixed: float, each: float, others: int, steps: int, moment: int, shapes: str
) -> None:
    """However it comes: work of the others that cannot share its turns holds it up for whole turns."""

    def cost(size: int) -> float:
        return fixed + each * size

    def shape(library: int, number: int) -> int:
        two = number % 2
        return {"same": 0, "another": 1, "each another": library + 1, "the same and another": two}.get(shapes, two + 1)

    device = Device(cost, batch=16)
    for library in range(others):
        for number in range(64):
            name = f"{library}-{number}"
            device.scheduler.add(work(f"busy{library}", shape=shape(library, number), job=name, turns=300))
    for _ in range(moment):  # what a turn of each shape costs is known
        device.turn()
    came, turns = device.now, max(steps, math.ceil(2 * cost(16) / cost(1)))
    device.turn(arriving=[work("light", shape=0, job="light", turns=turns)])
    while "light" not in device.ended:
        device.turn()
    assert device.ended["light"] - came <= (others + 1) * turns * cost(1) + 1e-9


@settings(derandomize=True, max_examples=30, deadline=None)
@given(
    fixed=st.floats(0.001, 0.05),
    each=st.floats(0.001, 0.05),
    lights=st.integers(1, 3),
    steps=st.lists(st.integers(1, 60), min_size=1, max_size=5),
)
def test_whoever_sends_short_jobs_one_after_another_takes_nothing_of_the_share_of_one_that_is_busy(
    fixed: float, each: float, lights: int, steps: list[int]
) -> None:
    device = Device(lambda size: fixed + each * size, batch=16)
    for number in range(16):
        device.scheduler.add(work("busy", shape=1, job=f"busy-{number}", turns=10**6))
    sent: Counter[int] = Counter()
    while len(device.turns) < 800:
        arriving = []
        for light in range(lights):
            if not sent[light] or f"{light}-{sent[light]}" in device.ended:
                sent[light] += 1
                job = f"{light}-{sent[light]}"
                arriving.append(work(f"light{light}", job=job, turns=steps[(light + sent[light]) % len(steps)]))
        device.turn(arriving)
    busy = sum(device.cost(len(taken)) for taken in device.turns if taken[0].library == "busy")
    assert busy >= device.now / (lights + 1) - 3 * device.cost(16)


def test_sharing_costs_equals_nothing() -> None:
    device = Device(lambda size: 0.01 + 0.01 * size, batch=16)
    for number in range(320):
        device.scheduler.add(work(str(number % 8), job=str(number), turns=20))
    while device.turn():
        pass
    assert {len(taken) for taken in device.turns} == {16}


# --- models -----------------------------------------------------------------------------------------


def test_work_for_a_loaded_model_goes_first_until_the_other_has_waited_long_enough() -> None:
    scheduler = Scheduler()
    scheduler.add(work("a", model="cold", job="cold"))
    for number in range(30):
        scheduler.add(work("b", model="warm", job=str(number)))
    order = []
    while batch := scheduler.next(("warm",), lambda _: 1):
        scheduler.charge(batch, 1.0)
        order.append(batch[0].job)
    assert order.index("cold") == RELOAD


def test_two_models_of_which_only_one_fits_spend_a_fifth_of_the_time_on_loading_at_most() -> None:
    scheduler, loading, total, loaded, switches = Scheduler(), 0.0, 0.0, "one", 0
    for number in range(400):
        for model in ("one", "two"):
            scheduler.add(work("a", model=model, job=f"{model}-{number}", turns=10))
    while total < 2000:
        batch = scheduler.next((loaded,), lambda _: 4)
        seconds = 0.5
        if batch[0].model != loaded:
            loaded, switches = batch[0].model, switches + 1
            loading, seconds = loading + 10, seconds + 10
        total += seconds
        for item in batch:
            scheduler.put_back(item)
        scheduler.charge(batch, seconds)
    assert switches >= 10
    assert loading / total <= 0.25


# --- setups -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("change", [0.3, 1.5])
@pytest.mark.parametrize("setups", [2, 5])
def test_work_that_wants_a_model_set_up_in_turn_spends_a_fifth_of_the_time_on_that_at_most(
    change: float, setups: int
) -> None:
    device = Device(lambda size: 0.05 + 0.01 * size, batch=4, change=change)
    for number in range(40 * setups):
        device.scheduler.add(work(job=str(number), turns=30, setup=number % setups))
    while device.turn():
        pass
    assert len(device.ended) == 40 * setups
    assert device.changes >= setups
    assert (device.changes - 2) * change / device.now <= 0.2  # the price of the first two was not known before


def test_a_model_is_set_up_otherwise_at_once_when_nothing_is_left_for_it_as_it_is() -> None:
    device = Device(lambda _: 0.1, batch=4, change=100.0)
    for name in ("one", "two", "three"):
        device.scheduler.add(work(job=name, setup=name))
        device.scheduler.add(work(job=f"{name} again", setup=name))
    while device.turn():
        pass
    assert [len(taken) for taken in device.turns] == [2, 2, 2]


def test_work_of_several_setups_never_shares_a_turn_and_of_one_setup_always_does() -> None:
    device = Device(lambda size: 0.1 + 0.01 * size, batch=8, change=0.5)
    for number in range(8):
        device.scheduler.add(work(job=str(number), turns=6, setup=number % 2))
    while device.turn():
        pass
    assert all(len({item.setup for item in taken}) == 1 for taken in device.turns)
    assert {len(taken) for taken in device.turns} == {4}


def test_libraries_that_all_waited_for_a_setup_share_its_turns() -> None:
    device = Device(lambda size: 0.1 + 0.01 * size, batch=8, change=0.5)
    for number in range(16):
        device.scheduler.add(work(str(number), job=str(number), turns=30, setup=number % 2))
    while device.turn():
        pass
    assert len(device.turns) <= 2 * 30 + 10  # alone they would take 16 x 30
    assert device.changes <= 10  # at every turn: 60


@settings(derandomize=True, max_examples=30, deadline=None)
@given(
    change=st.floats(0, 8),
    setups=st.integers(2, 6),
    batch=st.integers(1, 4),
    own=st.integers(1, 20),
    library=st.sampled_from("ab"),
)
def test_in_an_endless_stream_of_more_pressing_work_of_other_setups_nothing_starves(
    change: float, setups: int, batch: int, own: int, library: str
) -> None:
    """It waits, for each of its turns, at most until every other setup has had its time."""
    device = Device(lambda size: 0.2 + 0.05 * size, batch, change)
    for number in range(3 * setups):  # what a change takes is known
        device.scheduler.add(work("a", job=f"before-{number}", turns=3, setup=number % setups))
    while device.turn():
        pass
    device.scheduler.add(work(library, job="plain", turns=own, setup="own"))
    number, began = 0, device.now
    while "plain" not in device.ended:
        arriving = []
        while len(device.scheduler) + len(arriving) < 4 * setups:
            arriving.append(work("a", job=str(number), urgent=True, turns=1 + number % 7, setup=number % setups))
            number += 1
        device.turn(arriving)
        assert len(device.turns) < 20_000
    longest = device.cost(batch)
    turn = setups * (LONGEST_SETUP + change + longest) + PATIENCE * (change + longest)
    assert device.now - began <= own * turn


# --- nothing is lost, nothing starves ------------------------------------------------------------------

ENTRY = st.tuples(st.sampled_from("abc"), st.integers(0, 2), st.booleans(), st.integers(1, 30))


@settings(derandomize=True, max_examples=200, deadline=None)
@given(st.lists(ENTRY, max_size=60), st.integers(1, 5), st.randoms(use_true_random=False))
def test_everything_that_is_added_gets_exactly_the_turns_it_needs(
    entries: list[tuple[str, int, bool, int]], batch: int, random: Any
) -> None:
    device = Device(lambda size: 0.02 + 0.01 * size, batch)
    items = [
        work(library, "m", shape, str(i), urgent, turns) for i, (library, shape, urgent, turns) in enumerate(entries)
    ]
    waiting = list(items)
    while waiting or len(device.scheduler):
        device.turn(arriving=[waiting.pop() for _ in range(min(len(waiting), random.randrange(4)))])
    counts: dict[str, int] = {}
    for taken in device.turns:
        assert len({id(item) for item in taken}) == len(taken) <= batch
        assert len({item.kind for item in taken}) == 1
        for item in taken:
            counts[item.job] = counts.get(item.job, 0) + 1
    assert counts == {item.job: entries[int(item.job)][3] for item in items}


@settings(derandomize=True, max_examples=200, deadline=None)
@given(st.lists(st.tuples(ENTRY, st.booleans()), max_size=40), st.data())
def test_an_absorbed_model_ends_what_it_began_before_it_takes_other_work(
    entries: list[tuple[tuple[str, int, bool, int], bool]], data: st.DataObject
) -> None:
    """Unless that is cancelled. Everything is done in the end."""
    device = Device(lambda size: 0.02 + 0.01 * size, batch=3)
    for i, ((library, shape, urgent, turns), absorbed) in enumerate(entries):
        device.scheduler.add(work(library, "absorbed" if absorbed else "m", shape, str(i), urgent, turns))
    for _ in range(data.draw(st.integers(0, 30))):
        device.turn()
    gone = {item.job for item in device.scheduler.absorbed.values() if data.draw(st.booleans())}
    for job in gone:
        assert len(device.scheduler.withdraw(job)) == 1
    while device.turn():
        pass
    assert device.scheduler.absorbed == {}
    assert set(device.ended) == {str(i) for i in range(len(entries))} - gone
    jobs = [taken[0].job for taken in device.turns if taken[0].model == "absorbed"]
    begun = [job for job, before in zip(jobs, [None, *jobs], strict=False) if job != before]
    assert len(begun) == len(set(begun))


@settings(derandomize=True, max_examples=20, deadline=None)
@given(
    st.lists(ENTRY, min_size=20, max_size=60),
    st.integers(1, 4),
    st.integers(0, 2),
    st.sampled_from("abc"),
)
def test_in_an_endless_stream_of_more_pressing_work_nothing_starves(
    stream: list[tuple[str, int, bool, int]], batch: int, shape: int, library: str
) -> None:
    """All the others are urgent and short, and there is always more of it than can be done."""
    device = Device(lambda size: 0.5 + 0.5 * size, batch)
    device.turn(arriving=[work(library, shape=shape, job="plain", turns=30)])
    number = 0
    while "plain" not in device.ended:
        arriving = []
        while len(device.scheduler) + len(arriving) < 12:
            name, other, _, turns = stream[number % len(stream)]
            arriving.append(work(name, "m", other, str(number), urgent=True, turns=1 + turns // 4))
            number += 1
        device.turn(arriving)
        assert len(device.turns) < 5000


@settings(derandomize=True, max_examples=60, deadline=None)
@given(count=st.integers(1, 80), turns=st.integers(5, 200), own=st.integers(1, 30))
def test_a_long_queue_of_one_shape_does_not_shut_the_door_on_another(count: int, turns: int, own: int) -> None:
    device = Device(lambda size: 0.02 + 0.01 * size, batch=16)
    for number in range(count):
        device.scheduler.add(work(shape="large", job=f"large-{number}", turns=turns))
    for _ in range(5):
        device.turn()
    device.scheduler.add(work(shape="small", job="small", turns=own))
    before = len(device.turns)
    while "small" not in device.ended:
        device.turn()
    assert len(device.turns) - before <= own * (PATIENCE + 1)


@settings(derandomize=True, max_examples=100, deadline=None)
@given(st.lists(ENTRY, min_size=1, max_size=40), st.integers(1, 4), st.data())
def test_what_is_cancelled_gets_no_further_turn_and_nobody_else_is_hurt(
    entries: list[tuple[str, int, bool, int]], batch: int, data: st.DataObject
) -> None:
    device = Device(lambda size: 0.02 + 0.01 * size, batch)
    for i, (library, shape, urgent, turns) in enumerate(entries):
        device.scheduler.add(work(library, "m", shape, str(i), urgent, turns))
    for _ in range(data.draw(st.integers(0, 20))):
        device.turn()
    left = [str(i) for i in range(len(entries)) if str(i) not in device.ended]
    gone = set(data.draw(st.lists(st.sampled_from(left), max_size=5))) if left else set()
    for job in gone:
        assert [item.job for item in device.scheduler.withdraw(job)] == [job]
        assert device.scheduler.withdraw(job) == []
    before = len(device.turns)
    while device.turn():
        pass
    assert not gone & {item.job for taken in device.turns[before:] for item in taken}
    assert set(device.ended) == {str(i) for i in range(len(entries))} - gone


@pytest.mark.parametrize("waiting", [LOOKAHEAD - 1, 3 * LOOKAHEAD])
def test_a_library_with_more_work_than_is_looked_at_gets_all_of_it_done(waiting: int) -> None:
    scheduler = Scheduler()
    for number in range(waiting):
        scheduler.add(work(job=str(number)))
    assert len(drain(scheduler, batch=7)) == waiting
