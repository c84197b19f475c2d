"""The device is shared fairly, models are not loaded in turn, nothing starves, and work of one shape shares a batch."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from pergai.engine.scheduler import PATIENCE, Scheduler, Work


def work(library: str = "a", model: str = "m", shape: object = None, job: str = "j", urgent: bool = False) -> Work:
    return Work(job=job, library=library, model=model, shape=shape, payload=None, urgent=urgent)


def drain(scheduler: Scheduler, loaded: tuple[str, ...] = ("m",), batch: int = 1, seconds: float = 1.0) -> list[Work]:
    done: list[Work] = []
    while taken := scheduler.next(loaded, lambda _: batch):
        scheduler.charge(taken, seconds)
        done += taken
    return done


def test_work_of_one_library_runs_in_the_order_it_came() -> None:
    scheduler = Scheduler()
    items = [work(job=str(number)) for number in range(5)]
    for item in items:
        scheduler.add(item)
    assert drain(scheduler) == items


def test_a_small_library_does_not_wait_behind_a_large_one() -> None:
    scheduler = Scheduler()
    for number in range(100):
        scheduler.add(work("large", job=str(number)))
    drain_some = [scheduler.next(("m",), lambda _: 1) for _ in range(10)]
    for batch in drain_some:
        scheduler.charge(batch, 1.0)
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


def test_work_that_a_client_waits_for_goes_first() -> None:
    scheduler = Scheduler()
    for number in range(3):
        scheduler.add(work(job=str(number)))
    scheduler.add(work(job="urgent", urgent=True))
    assert drain(scheduler)[0].job == "urgent"


def test_a_batch_holds_only_one_model_and_shape_and_no_more_than_the_model_takes() -> None:
    scheduler = Scheduler()
    for number in range(6):
        scheduler.add(work(shape=number % 2, job=str(number)))
    scheduler.add(work(model="other", shape=0))
    batch = scheduler.next(("m", "other"), lambda _: 2)
    assert len(batch) == 2
    assert len({(item.model, item.shape) for item in batch}) == 1


def test_loaded_models_are_used_first_but_the_head_is_passed_over_only_so_often() -> None:
    scheduler = Scheduler()
    scheduler.add(work("a", model="cold", job="cold"))
    for number in range(PATIENCE * 3):
        scheduler.add(work("b", model="warm", job=str(number)))
    order = []
    while batch := scheduler.next(("warm",), lambda _: 1):
        scheduler.charge(batch, 0.0)
        order.append(batch[0].job)
    assert order.index("cold") == PATIENCE


def test_a_withdrawn_job_never_runs_and_its_neighbours_do() -> None:
    scheduler = Scheduler()
    for number in range(6):
        scheduler.add(work(job="gone" if number % 2 else "stays"))
    assert len(scheduler.withdraw("gone")) == 3
    assert [item.job for item in drain(scheduler)] == ["stays"] * 3
    assert len(scheduler) == 0


@settings(derandomize=True, max_examples=200)
@given(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.sampled_from(["m", "n"]), st.integers(0, 2), st.booleans()), max_size=40
    ),
    st.integers(1, 4),
)
def test_everything_that_is_added_runs_exactly_once(entries: list[tuple[str, str, int, bool]], batch: int) -> None:
    scheduler = Scheduler()
    added = [work(library, model, shape, str(i), urgent) for i, (library, model, shape, urgent) in enumerate(entries)]
    for item in added:
        scheduler.add(item)
    done = drain(scheduler, loaded=("m",), batch=batch)
    assert sorted(item.job for item in done) == sorted(item.job for item in added)
    assert len(scheduler) == 0
