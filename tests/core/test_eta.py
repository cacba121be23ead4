"""How long the rest of many runs will take: by predictions, by finished runs, and by a run's own pace."""

from __future__ import annotations

import pytest

from pdadmm_bench.core.eta import EtaEstimate, Underway, fraction_done, kind_of
from pdadmm_bench.core.spec import run_spec


def test_predictions_are_corrected_by_the_runs_so_far() -> None:
    eta = EtaEstimate([("small", 10.0), ("small", 10.0), ("large", 20.0)], jobs=2)
    assert eta.seconds() == 20
    eta.over("small", 30.0)
    assert eta.seconds() == 45, "the other small run takes 30 s, and the large one three times its prediction"
    eta.over("small", 0.0)  # made by somebody else
    assert eta.seconds() == 60, "one run is not split over two jobs"
    eta.over("large", 50.0)
    assert eta.seconds() == 0


def test_a_run_takes_what_runs_of_its_kind_took() -> None:
    """Whatever was predicted, and whatever runs of other kinds took."""
    eta = EtaEstimate([("adam", 1.0)] * 3 + [("pdadmm", 1.0)] * 2)
    eta.over("adam", 10.0)
    eta.over("adam", 12.0)
    assert eta.seconds(kind="adam") == 11
    assert eta.seconds(kind="pdadmm") == 22, "two predictions, times the ratio so far"
    eta.over("pdadmm", 100.0)
    assert eta.seconds() == 111


def test_without_predictions_nothing_is_said_before_something_is_known() -> None:
    eta = EtaEstimate([("adam", None)] * 2 + [("pdadmm", None)])
    assert eta.seconds() is None
    assert eta.seconds([Underway("adam", 3.0, 0.0)]) is None
    assert eta.seconds([Underway("adam", 3.0, 0.25)], "adam") == 9 + 12
    eta.over("adam", 10.0)
    assert eta.seconds() == 20, "the kind that nothing is known about takes as long as the other"


def test_a_run_under_way_is_judged_by_its_own_pace() -> None:
    eta = EtaEstimate([("adam", 10.0)], jobs=4)
    assert eta.seconds([Underway("adam", 4.0, 0.0)]) == 6
    assert eta.seconds([Underway("adam", 40.0, 0.0)]) == 0, "longer than predicted, and nothing is known of its end"
    assert eta.seconds([Underway("adam", 40.0, 0.5)]) == 40


def test_a_run_that_failed_says_nothing_about_others() -> None:
    eta = EtaEstimate([("adam", None)] * 3)
    eta.over("adam", 10.0)
    eta.over("adam", 0.0)
    assert eta.seconds() == 10


def test_the_warm_start_is_the_first_part_of_a_run() -> None:
    """Two layers for 50 iterations, then four for 100: a fifth of the work is done before the deep network begins."""
    spec = run_spec({"layers": 4, "iterations": 100, "warm_start": "2:50"})
    done = [fraction_done(spec, 0, 2), fraction_done(spec, 50, 2), fraction_done(spec, 0), fraction_done(spec, 100)]
    assert done == pytest.approx([0, 0.2, 0.2, 1])


def test_seeds_are_of_one_kind_and_settings_are_not() -> None:
    specs = [run_spec({"optimizer": "adam", **values}) for values in ({}, {"seed": 3, "split_seed": 2}, {"layers": 4})]
    assert kind_of(specs[0]) == kind_of(specs[1]) != kind_of(specs[2])
