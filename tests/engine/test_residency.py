"""Models stay on the device within a budget; the least recently used leave first."""

from __future__ import annotations

from pergai.engine.residency import Residency


def test_a_model_that_fits_drives_nobody_out() -> None:
    residency = Residency(100)
    residency.enter("a", 40)
    assert residency.victims("b", 60) == []


def test_the_least_recently_used_leave_first_and_no_more_than_needed() -> None:
    residency = Residency(100)
    for name in "abc":
        residency.enter(name, 30)
    residency.touch("a")
    assert residency.victims("d", 35) == ["b"]
    assert residency.victims("d", 70) == ["b", "c"]


def test_a_model_larger_than_the_budget_gets_the_device_to_itself() -> None:
    residency = Residency(100)
    residency.enter("a", 10)
    assert residency.victims("giant", 500) == ["a"]


def test_a_resident_model_needs_no_room() -> None:
    residency = Residency(100)
    residency.enter("a", 90)
    assert residency.victims("a", 90) == []
    residency.leave("a")
    assert residency.used_mib == 0
