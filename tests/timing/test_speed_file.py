"""Speed files: what they may say, how each kind measures, and how rows are judged, told and drawn."""

from __future__ import annotations

import io
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdadmm_bench.core import resources
from pdadmm_bench.core.errors import UserError
from pdadmm_bench.report import render
from pdadmm_bench.report.figures.speed import speed_figure
from pdadmm_bench.report.table import Table
from pdadmm_bench.report.tables.speed import figure_text, iteration_tables, target_table, verdicts
from pdadmm_bench.timing.samples import Samples
from pdadmm_bench.timing.speed_file import kinds
from pdadmm_bench.timing.speed_file.entry import Bench, SpeedEntry, Target
from pdadmm_bench.timing.speed_file.file import find, measured, read, single

SMALL = {"rows": 40, "features": 8, "classes": 3, "layers": 3, "hidden": 8, "threads": 1, "device": "cpu"}


def toml(values: dict[str, Any]) -> str:
    """The inline TOML of plain values."""
    pairs = (
        f"{key} = {toml(value) if isinstance(value, dict) else json.dumps(value)}" for key, value in values.items()
    )
    return "{ " + ", ".join(pairs) + " }"


def file(path: Path, *entries: dict[str, Any]) -> list[SpeedEntry]:
    path.write_text("entry = [\n" + ",\n".join(map(toml, entries)) + "\n]\n")
    return read(path)


def test_the_shipped_file_has_the_targets_of_the_project() -> None:
    entries = {entry.name: entry for entry in read(find("runners/speed.toml"))}
    bounds = {
        (name, figure): str(target) for name, entry in entries.items() for figure, target in entry.targets.items()
    }
    assert bounds == {
        ("6 × 1024, 1 thread", "ratio_to_floor"): "≤ 1.12",
        ("6 × 1024, 2 threads", "ratio_to_floor"): "≤ 1.12",
        ("6 × 1024, bf16, 1 thread", "speedup"): "≥ 2",
        ("6 × 1024, bf16, 2 threads", "speedup"): "≥ 2",
        ("20k rows, 6 × 256, 1 thread", "ratio_to_floor"): "≤ 1.35",
        ("20k rows, 6 × 256, 2 threads", "ratio_to_floor"): "≤ 1.35",
        ("6 × 1024, exact steps", "ratio_to_floor"): "≤ 1.15",
        ("20k rows, 6 × 256, exact steps", "ratio_to_floor"): "≤ 1.15",
        ("6 × 1024, pdadmm-m", "ratio_to_floor"): "≤ 1.15",
        ("20k rows, 6 × 256, pdadmm-m", "ratio_to_floor"): "≤ 1.15",
        ("Cora, 10 × 500", "reference_ratio"): "≥ 8",
        ("Cora, 10 × 500", "ratio_to_adam"): "≤ 0.7",
        ("CS, 2 × 500", "reference_ratio"): "≥ 25",
        ("60 rows, 10 × 1024", "ratio_to_adam"): "≤ 1.1",
        ("60 rows, 10 × 1024, exact W", "ratio_to_adam"): "≤ 1.1",
        ("16 × 1024", "ratio_to_adam"): "≤ 1.4",
        ("16 × 1024, eager", "ratio_to_adam"): "≤ 1.4",
        ("20k rows, 6 × 256, eager", "ratio_to_floor"): "≤ 1.35",
        ("arXiv's size", "memory_peak_bytes"): "≤ 8e+09",
        ("10k to 90k rows", "proportional_deviation"): "≤ 0.1",
        ("4 to 32 layers", "linear_deviation"): "≤ 0.1",
        ("Cora", "sooner"): "≥ 20",
        ("PubMed", "sooner"): "≥ 20",
        ("CiteSeer", "sooner"): "≥ 20",
    }


def test_a_shipped_file_is_found_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert find("speed") == find("speed.toml") == find("runners/speed.toml") == resources.find("runners/speed.toml")
    (tmp_path / "speed.toml").write_text("")
    assert find("speed.toml") == Path("speed.toml")
    with pytest.raises(UserError, match=r"no such speed file: elsewhere/speed\.toml"):
        find("elsewhere/speed.toml")


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        ({}, "either dataset, or rows"),
        ({"rows": 5, "dataset": "cora"}, "either dataset, or rows"),
        ({"rows": 5, "layrs": 3}, "did you mean layers"),
        ({"rows": 5, "layers": 1}, "layers=1 is not valid"),
        ({"rows": 5, "set": {"rhoo": 1}}, "rhoo"),
        ({"rows": 5, "optimizer": "adm"}, "unknown optimizer"),
        ({"rows": 5, "kind": "linr"}, "did you mean linear"),
        ({"rows": 5, "targets": {"ratio": {"most": 1}}}, "no target can be set for 'ratio'"),
        ({"rows": 5, "targets": {"ratio_to_floor": {"most": 1, "least": 1}}}, "either most or least"),
        ({"rows": 5, "kind": "versus", "against": {}}, "against"),
        ({"rows": 5, "kind": "versus", "against": {"precisoin": "fp32"}}, "did you mean precision"),
        ({"kind": "linear", "vary": "rows", "sizes": [5, 6]}, "at least 3"),
        ({"kind": "linear", "vary": "layers", "sizes": [2, 3, 4]}, "either dataset, or rows"),
        ({"rows": 5, "kind": "accuracy"}, "needs a dataset"),
        ({"dataset": "cora", "kind": "accuracy", "layers": 3}, "nothing is published"),
        ({"dataset": "cora", "kind": "memory"}, "needs rows"),
    ],
)
def test_a_file_is_refused_before_anything_is_measured(entry: dict[str, Any], says: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=says):
        file(tmp_path / "speed.toml", {"name": "good", **SMALL}, {"name": "bad", **entry})


def test_names_tell_rows_apart(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="two entries called 'same'"):
        file(tmp_path / "speed.toml", {"name": "same", **SMALL}, {"name": "same", **SMALL})


SIZES = [10.0, 20.0, 50.0, 90.0]


@given(st.floats(1e-6, 1.0), st.floats(0.0, 10.0))
def test_a_line_is_recognised(slope: float, start: float) -> None:
    found = kinds.growth(SIZES, [slope * (size + start) for size in SIZES])
    assert found["slope_s"] == pytest.approx(slope)
    assert found["linear_deviation"] < 1e-9
    through_zero = kinds.growth(SIZES, [slope * size for size in SIZES])
    assert through_zero["proportional_deviation"] < 1e-9


def test_distance_from_a_line_is_relative_and_the_worst() -> None:
    """Times 1, 1, 4 over 1, 2, 4: through the origin c minimises Σ (c x/t − 1)², so c = Σ (x/t) / Σ (x/t)²."""
    inverse = np.array([1.0, 2.0, 1.0])
    c = inverse.sum() / (inverse**2).sum()
    found = kinds.growth([1, 2, 4], [1.0, 1.0, 4.0])
    assert found["proportional_deviation"] == pytest.approx(np.abs(1 / (c * inverse) - 1).max())
    assert found["linear_deviation"] > 0.1


def steps(*accuracies: float) -> list[dict[str, float]]:
    return [{"train_seconds": 2.0 * i, "acc_val": acc, "acc_test": acc} for i, acc in enumerate(accuracies, 1)]


def test_misses_count_as_misses(monkeypatch: pytest.MonkeyPatch) -> None:
    """The reference ends at 0.7, which it had after 4 s; one of three seeds never gets there."""
    ours = {0: steps(0.7), 1: steps(0.1, 0.2, 0.3), 2: steps(0.6, 0.8)}

    def recorded(spec: Any, problem: Any) -> list[dict[str, float]]:
        if spec.optimizer == "pdadmm-reference":
            assert (spec.preset, spec.precision, spec.target) == ("published", "fp32", None)
            return steps(0.3, 0.7, 0.8, 0.7)
        assert spec.target == 0.7
        return ours[spec.seed]

    monkeypatch.setattr(kinds, "_steps", recorded)
    values = {"dataset": "cora", "layers": 2, "hidden": 500, "repeats": 3, "kind": "accuracy"}
    found = Samples()
    single(values).measure(Bench(load=lambda data: None), found)  # type: ignore[arg-type, return-value]
    assert found.facts["hits"] == "2/3"
    assert found.samples["reached_s"] == [2.0, math.inf, 4.0]
    assert found.samples["sooner"] == [2.0, 0.0, 1.0]
    assert found.samples["sooner_than_end"] == [4.0, 0.0, 2.0]


def test_time_to_accuracy_is_measured_with_real_runs(tmp_path: Path) -> None:
    from pdadmm_bench.data.load import load_problem

    values = {"dataset": "sbm[nodes=300,classes=3,features=12]", "layers": 2, "hidden": 12, "threads": 1}
    values |= {"kind": "accuracy", "iterations": 8, "repeats": 2, "reference": {"preset": "default"}}
    bench = Bench(load=lambda data: load_problem(data, cache=tmp_path, report=lambda line: None))
    row, error = measured(single(values), bench)
    assert error is None
    assert row["n"] == 2
    assert 0 < row["reference_reached_s"] <= row["reference_end_s"]
    assert row["hits"].endswith("/2")


def bench() -> Bench:
    def load(data: Any) -> Any:
        raise AssertionError("generated data are not loaded")

    return Bench(load)


@pytest.mark.parametrize(
    "more",
    [
        {"targets": {"ratio_to_floor": {"most": 0.01}, "reference_ratio": {"least": 0.01}}},
        {"kind": "versus", "precision": "bf16", "against": {"precision": "fp32"}, "targets": {"speedup": {"most": 99}}},
        {"kind": "linear", "vary": "rows", "sizes": [20, 30, 40], "targets": {"proportional_deviation": {"most": 99}}},
        {"kind": "linear", "vary": "layers", "sizes": [2, 3, 4], "targets": {"linear_deviation": {"most": 99}}},
        {"kind": "memory", "targets": {"memory_peak_bytes": {"least": 1e6}}},
    ],
    ids=["profile", "versus", "rows", "layers", "memory"],
)
@pytest.mark.slow
def test_every_kind_makes_a_flat_row_with_verdicts(more: dict[str, Any]) -> None:
    kind = more.get("kind", "profile")
    shape = {key: value for key, value in SMALL.items() if key != "rows" or more.get("vary") != "rows"}
    row, error = measured(single({**shape, **({} if kind == "memory" else {"repeats": 3}), **more}), bench())
    assert error is None, error
    assert (row["kind"], row["status"], row["schema_version"]) == (kind, "ok", 1)
    assert all(value is None or isinstance(value, (str, int, float, bool)) for value in row.values())
    json.dumps(row, allow_nan=False)
    found = verdicts([row])
    assert [verdict.figure for verdict in found] == list(more["targets"])
    for verdict in found:
        assert verdict.value == row[verdict.figure] > 0
        assert verdict.met is Target(**more["targets"][verdict.figure]).met(verdict.value)


def test_what_goes_wrong_is_a_row_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def measure(error: BaseException) -> Any:
        def broken(self: SpeedEntry, bench: Bench, found: Samples) -> None:
            found.add(iteration_s=1.0, ratio_to_floor=1.1)
            raise error

        monkeypatch.setattr(kinds.ProfileEntry, "measure", broken)
        return measured(single({**SMALL, "targets": {"ratio_to_floor": {"most": 1.2}, "adam_s": {"most": 1}}}), bench())

    for error, status in ((MemoryError("full"), "oom"), (RuntimeError("broken"), "error")):
        row, seen = measure(error)
        assert seen is error
        assert (row["status"], row["status_reason"]) == (status, str(error))
    row, _ = measure(KeyboardInterrupt())
    assert (row["status"], row["status_reason"], row["n"]) == ("interrupted", "stopped by the user", 1)
    reached, missing = verdicts([row])
    assert (reached.met, reached.text) == (True, "met")
    assert (missing.met, missing.text) == (None, "stopped by the user")


def test_a_precision_this_machine_lacks_is_skipped_not_failed() -> None:
    row, _ = measured(single({**SMALL, "precision": "tf32"}), bench())
    assert row["status"] == "skipped"
    assert "CUDA" in row["status_reason"]


def judged(value: float, low: float, high: float, **target: float) -> dict[str, Any]:
    met = Target(**target).met(value)
    row = {"entry": "an entry", "status_reason": None, "n": 5, "speedup": value, "speedup_low": low}
    return row | {"speedup_high": high, "targets": json.dumps([{"figure": "speedup", **target, "met": met}])}


@pytest.mark.parametrize(
    ("row", "says"),
    [
        (judged(2.2, 2.1, 2.3, least=2), "met"),
        (judged(2.2, 1.9, 2.3, least=2), "met, within the interval"),
        (judged(1.9, 1.8, 2.1, least=2), "missed, within the interval"),
        (judged(1.9, 1.8, 1.95, least=2), "missed"),
        (judged(1.9, 1.8, 1.95, most=2), "met"),
    ],
)
def test_a_verdict_says_when_the_interval_leaves_it_open(row: dict[str, Any], says: str) -> None:
    (verdict,) = verdicts([row])
    assert verdict.text == says


def printed(table: Table) -> str:
    from rich.console import Console

    console = Console(width=200, file=io.StringIO())
    console.print(render.terminal(table))
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_the_table_has_figure_interval_target_and_verdict() -> None:
    row = judged(2.2, 1.9, 2.3, least=2) | {"against": '{"precision": "fp32"}'}
    line = next(line for line in printed(target_table([row])).splitlines() if "an entry" in line)
    cells = [cell.strip() for cell in line.strip("│ ").split("│")]
    assert cells == [
        "an entry", "times faster than with precision=fp32", "2.2 × [1.9 ×, 2.3 ×]", "5", "≥ 2 ×",
        "met, within the interval",
    ]  # fmt: skip


def test_details_tell_everything() -> None:
    row, _ = measured(single({**SMALL, "repeats": 3, "adam": False}), bench())
    shown = "".join(map(printed, iteration_tables(row)))
    for part in ("iteration / products", "not wanted", "allocations per iteration", "z_L", "(40, 8)", "1 thread ·"):
        assert part in shown


@pytest.mark.parametrize(
    ("figure", "value", "shown"),
    [
        ("iteration_s", 0.0123, "12.3 ms"),
        ("slope_s", 1.234e-6, "1.23e-06 s"),
        ("memory_peak_bytes", 7.5e9, "7.5 GB"),
        ("linear_deviation", 0.083, "8.3%"),
        ("gflops_per_s", 61.23, "61.2 GFLOP/s"),
        ("ratio_to_floor", 1.1234, "1.12 ×"),
        ("adam_s", None, "–"),
    ],
)
def test_figures_have_their_units(figure: str, value: float | None, shown: str) -> None:
    assert figure_text(figure, value) == shown


def test_bars_are_the_figures_and_dashes_the_targets() -> None:
    rows = [judged(2.2, 1.9, 2.3, least=2), judged(1.5, 1.4, 1.6, least=2) | {"entry": "another"}]
    figure = speed_figure(rows)
    figure.savefig(io.BytesIO(), format="png")
    (axes,) = figure.axes
    assert [bar.get_width() for bar in axes.patches] == [2.2, 1.5]
    assert axes.patches[0].get_facecolor() != axes.patches[1].get_facecolor()
    assert [list(line.get_xdata()) for line in axes.lines] == [[1.9, 2.3], [2, 2], [1.4, 1.6], [2, 2]]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["an entry", "another"]


def test_a_picture_of_nothing_says_so() -> None:
    (axes,) = speed_figure([]).axes
    assert "no figure with a target" in axes.texts[0].get_text()
