"""What a turn costs is learned from the turns there were, and who is behind is owed the device."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pergai.engine.fairness import Shares, TurnCost


@settings(derandomize=True, deadline=None)
@given(
    fixed=st.floats(0.0, 1.0),
    each=st.floats(0.001, 1.0),
    sizes=st.lists(st.integers(1, 16), min_size=10, max_size=60).filter(lambda sizes: len(set(sizes)) > 1),
)
def test_a_line_is_found_from_turns_of_different_sizes(fixed: float, each: float, sizes: list[int]) -> None:
    cost = TurnCost()
    for size in sizes:
        cost.learn(size, fixed + each * size)
    for size in (1, 8, 16):
        assert cost.of(size) == pytest.approx(fixed + each * size, rel=1e-3, abs=1e-6)


def test_turns_of_one_size_are_taken_in_proportion_and_nothing_is_guessed_from_none() -> None:
    cost = TurnCost()
    assert cost.of(5) == 0
    cost.learn(4, 2.0)
    assert (cost.of(2), cost.of(8)) == (1.0, 4.0)


def test_a_device_that_became_slower_is_noticed() -> None:
    cost = TurnCost()
    for seconds in (1.0, 3.0):
        for number in range(300):
            cost.learn(1 + number % 4, seconds)
    assert cost.of(2) == pytest.approx(3.0, rel=0.02)


def test_whoever_waited_is_owed_and_a_library_alone_is_not() -> None:
    shares = Shares()
    for library in "ab":
        shares.enter(library)
    shares.passed(1.0, {"a": 1.0}, ("a", "b"))
    assert shares.most_behind(("a", "b")) == "b"
    assert (shares.lag("a"), shares.lag("b")) == (-0.5, 0.5)
    assert shares.most_behind(("b",)) is None


def test_whoever_leaves_ahead_of_its_share_counts_until_the_others_have_caught_up() -> None:
    shares = Shares()
    for library in "ab":
        shares.enter(library)
    shares.passed(1.0, {"a": 1.0}, ("b",))
    assert (shares.lag("a"), shares.lag("b")) == (-0.5, 0.5)
    shares.passed(1.0, {"b": 1.0}, ("b",))
    shares.enter("a")
    assert (shares.lag("a"), shares.lag("b")) == (0.0, 0.0)


def test_when_all_is_done_nobody_is_ahead() -> None:
    shares = Shares()
    for library in "ab":
        shares.enter(library)
    shares.passed(1.0, {"a": 1.0}, ("b",))
    shares.passed(0.1, {"b": 0.1}, ())
    for library in "ab":
        shares.enter(library)
    assert shares.lag("a") == shares.lag("b") == 0.0


def test_what_sharing_a_batch_gave_beyond_the_share_is_held_against_nobody_for_long() -> None:
    shares = Shares()
    for library in "ab":
        shares.enter(library)
    for _ in range(100):
        shares.passed(1.0, {"a": 0.9, "b": 0.9}, ("a", "b"))
    shares.enter("c")
    assert shares.lag("c") - shares.lag("a") <= 2.0
