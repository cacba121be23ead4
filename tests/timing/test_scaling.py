"""The strong-scaling table: what rows say of measured times, and how measured and predicted rows are shown."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from pdadmm_bench.core.spec import run_spec
from pdadmm_bench.report import render
from pdadmm_bench.report.tables.scaling import scaling_table
from pdadmm_bench.stats.estimate import aggregate
from pdadmm_bench.timing.samples import interval
from pdadmm_bench.timing.scaling import ScalingPoint, scaling_rows


def measurement(workers: int, **values: Any) -> ScalingPoint:
    return ScalingPoint(run_spec({"layers": 4, "hidden": 8, "threads": 1, "gpus": workers, **values}))


def results(*seconds: float, workers: int = 1, **values: Any) -> list[dict[str, Any]]:
    common = {
        "dist_partition": ",".join(["4"] if workers == 1 else ["2", "2"]),
        "dist_sent_bytes": 0 if workers == 1 else 2_000_000,
        "dist_per_worker": "[]",
        "memory_state_bytes": 4_600_000,
        "time_compute_s": 0.5,
        "time_exposed_s": 0.25,
        "time_exposed_share": 0.125,
    }
    return [{**common, "time_iteration_median_s": value, **values} for value in seconds]


def text_of(rows: list[dict[str, Any]], **options: Any) -> str:
    console = Console(file=io.StringIO(), width=200)
    console.print(render.terminal(scaling_table("the title of [all]", rows, **options)))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.fixture
def rows() -> list[dict[str, Any]]:
    """Single workers that slow down from repetition to repetition, and two that do not follow them."""
    measurements = [measurement(1), measurement(2), measurement(2, optimizer="adam")]
    found = [
        results(2.0, 4.0, 6.0, 6.0, 2.0),
        results(1.0, 4.0, 1.0, 1.0, 1.0, workers=2),
        results(3.0, 3.0, 3.0, 3.0, 3.0, workers=2),
    ]
    return scaling_rows(measurements, found)


def test_a_speedup_is_the_median_of_the_ratios_within_a_repetition(rows: list[dict[str, Any]]) -> None:
    single, double, _ = rows
    assert single["speedup"] == single["efficiency"] == 1
    assert (double["speedup"], double["efficiency"]) == (2, 1)  # of 2, 1, 6, 6 and 2, where that of the medians is 4
    assert double["speedup_low"] >= 1 and double["speedup_high"] <= 6
    assert (double["time_iteration_median_s"], double["n"]) == (1, 5)
    assert (single["bytes_per_boundary"], double["bytes_per_boundary"]) == (0, 2_000_000)


def test_without_a_single_worker_there_is_no_speedup(rows: list[dict[str, Any]]) -> None:
    """Nor one against the single worker of another optimizer."""
    alone = rows[2]
    assert (alone["optimizer_name"], alone["schedule"]) == ("adam", "gpipe")
    assert alone["speedup"] is alone["efficiency"] is alone["speedup_low"] is None
    assert alone["time_iteration_low_s"] == alone["time_iteration_high_s"] == 3


@pytest.mark.parametrize("values", [[1.0], [1.0, 2.0, 3.0, 4.0], [1.0, 2.0, 3.0, 4.0, 9.0]])
def test_intervals_are_those_of_every_other_aggregate(values: list[float]) -> None:
    found = aggregate(values)
    assert interval(values) == (found.value, found.low, found.high)
    assert (found.low is None) == (len(values) < 5)


def test_measured_figures_come_with_their_intervals(rows: list[dict[str, Any]]) -> None:
    text = text_of(rows)
    assert "the title of [all]" in text  # not taken for markup
    line = next(line for line in text.splitlines() if "│ 2       │" in line)
    assert "1 s [1 s, 4 s]" in line
    assert f"2.00 [{rows[1]['speedup_low']:.2f}, {rows[1]['speedup_high']:.2f}]" in line
    assert "12.5 %" in line and "2.00 " in line and "4.6 MB" in line
    assert "predicted" not in text and "published" not in text


def test_predicted_figures_are_marked_and_compared_when_asked(rows: list[dict[str, Any]]) -> None:
    predicted = [{**row, "predicted": True, "published_speedups": {"flickr": 1.5}} for row in rows]
    assert text_of(predicted).count("predicted") == 6
    assert "flickr 1.5" not in text_of(predicted)
    assert "flickr 1.5" in text_of(predicted, published=True)
