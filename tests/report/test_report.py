"""Tables of a report: what stands in them, what is marked, and what never stands side by side."""

from __future__ import annotations

import csv
import io
import json
import re

import pytest
from stats_rows import a_row, runs

from pdadmm_bench.core.errors import UserError
from pdadmm_bench.core.rows import Row
from pdadmm_bench.report import render
from pdadmm_bench.report.answer import about, sentences
from pdadmm_bench.report.assemble import assemble, pictures
from pdadmm_bench.report.figures.convergence import convergence_pictures
from pdadmm_bench.report.figures.draw import figure
from pdadmm_bench.report.figures.performance_profile import performance_profile_pictures
from pdadmm_bench.report.figures.speedups import speedup_pictures
from pdadmm_bench.report.figures.style import colour_of
from pdadmm_bench.report.page import page
from pdadmm_bench.report.standings import Leaders
from pdadmm_bench.report.table import Cell, Column, Table, hoisted, text
from pdadmm_bench.report.tables.accuracy import accuracy_table
from pdadmm_bench.report.tables.appendix import appendix_tables
from pdadmm_bench.report.tables.performance_profile import performance_profile_tables
from pdadmm_bench.report.tables.published import load
from pdadmm_bench.report.tables.settings import gather
from pdadmm_bench.report.tables.speedups import points_of_rows, points_of_scale, speedup_tables
from pdadmm_bench.report.tables.times import communication_table, iteration_tables, target_tables
from pdadmm_bench.stats.comparison import compare_rows
from pdadmm_bench.stats.metrics import metric

ACCURACY, TIME = "acc_test_at_best_val", "time_iteration_median_s"
LOW = [0.70, 0.71, 0.72, 0.70, 0.71, 0.72, 0.70, 0.71]


def shown(table: Table) -> list[list[str]]:
    return [[text(cell, column) for cell, column in zip(line, table.columns, strict=True)] for line in table.rows]


def better() -> list[Row]:
    return runs("adam", ACCURACY, LOW) + runs("pdadmm", ACCURACY, [value + 0.05 for value in LOW])


def test_accuracy_golden_table() -> None:
    table = accuracy_table(Leaders(better()))
    assert table
    assert render.markdown(table).splitlines()[2:6] == [
        "| layers | hidden | optimizer | cora |",
        "| ---: | ---: | --- | ---: |",
        "| 2 | 16 | adam | 70.9 % [70.2, 71.5] (n=8) |",
        "| 2 | 16 | pdadmm | **75.9 % [75.2, 76.5] (n=8)** |",
    ]


def test_a_warm_start_is_named_where_depth_does_not_decide_it() -> None:
    """Two layers have none, which is no difference between optimizers."""
    deep = {"layers": 10, "warm_start": "2:50"}
    rows = [a_row(), a_row(deep)]
    assert [line.optimizer for line in gather(rows)] == [rows[0]["optimizer_name"]] * 2
    lines = gather([*rows, a_row({**deep, "warm_start": "2:90"})])
    assert [line.optimizer.partition(" ")[2] for line in lines] == ["", "warm_start=2:50", "warm_start=2:90"]


def test_one_seed_has_neither_interval_nor_best() -> None:
    table = accuracy_table(
        Leaders([a_row({"optimizer": "adam"}), a_row({"optimizer": "pdadmm"}, acc_test_at_best_val=0.95)])
    )
    assert table
    assert shown(table) == [["2", "16", "adam", "80.0 % (n=1)"], ["2", "16", "pdadmm", "95.0 % (n=1)"]]
    assert not any(cell.best for line in table.rows for cell in line)
    assert "none is marked as best" in table.notes[0]


def test_the_best_has_to_beat_every_other_line() -> None:
    table = accuracy_table(Leaders(better() + runs("sgd", ACCURACY, [value + 0.05 for value in reversed(LOW)])))
    assert table
    assert not any(cell.best for line in table.rows for cell in line)


def test_a_repeat_of_a_seed_is_no_second_sample_of_accuracy() -> None:
    table = accuracy_table(Leaders([a_row(), a_row(run_id="again")]))
    assert table
    assert table.rows[0][-1].n == 1


def test_a_failed_run_is_counted_and_has_no_number() -> None:
    rows = [*runs("adam", ACCURACY, LOW), a_row({"optimizer": "adam", "seed": 9}, status="diverged")]
    table = accuracy_table(Leaders(rows))
    assert table
    assert shown(table)[0][-1] == "70.9 % [70.2, 71.5] (8 ok, 1 diverged, n=8)"


def test_machines_are_never_mixed_in_a_table_of_times() -> None:
    rows = runs("adam", TIME, [1.0] * 5) + [row | {"env_cpu": "other"} for row in runs("pdadmm", TIME, [2.0] * 5)]
    tables = iteration_tables(rows)
    assert [table.name for table in tables] == ["iteration-time-1", "iteration-time-2"]
    assert [[line[3] for line in shown(table)] for table in tables] == [["adam"], ["pdadmm"]]
    assert ["AMD EPYC" in tables[0].notes[0], "other" in tables[1].notes[0]] == [True, True]


def test_times_of_a_shared_machine_are_marked_or_left_out() -> None:
    shared = runs("adam", TIME, [1.0] * 5)
    (table,) = iteration_tables([row | {"env_concurrency": 2} for row in shared])
    assert shown(table)[0][4] == "1 s† [1 s, 1 s] (n=5)"
    assert any("not to be quoted" in note for note in table.notes)
    (table,) = iteration_tables([row | {"env_concurrency": 2} for row in shared] + runs("adam", TIME, [3.0] * 5))
    assert shown(table)[0][4] == "3 s [3 s, 3 s] (n=5)"


def test_the_split_of_an_iteration() -> None:
    workers = [{"compute_s": 3.0, "exposed_s": 1.0, "idle_s": 0.0}, {"compute_s": 1.0, "exposed_s": 1.0, "idle_s": 2.0}]
    (table,) = iteration_tables([a_row(dist_per_worker=json.dumps(workers))])
    assert shown(table)[0][-3:] == ["50.0 %", "25.0 %", "25.0 %"]


def test_misses_count_as_never() -> None:
    rows = runs("adam", "time_to_target_s", [1.0, None, None, None, 2.0], target=0.8)
    (table,) = target_tables(rows)
    assert table.rows[0][5].value == float("inf")
    assert [shown(table)[0][place] for place in (4, 7, 8)] == ["80.0 %", "2 of 5 reached", "10 s"]


def test_speedups_against_the_own_single_worker_and_against_another() -> None:
    rows = [
        *runs("pdadmm", TIME, [4.0] * 5), *runs("pdadmm", TIME, [2.0] * 5, gpus=2),
        *runs("adam", TIME, [3.0] * 5), *runs("adam", TIME, [3.0] * 5, gpus=2),
    ]  # fmt: skip
    own = speedup_tables(points_of_rows(rows)[0])
    assert [line[3:] for line in shown(own[0])] == [
        ["pdadmm", "2.00 [2.00, 2.00] (n=5)", "100.0 %"],
        ["adam", "1.00 [1.00, 1.00] (n=5)", "50.0 %"],
    ]
    (named,) = speedup_tables(points_of_rows(rows, "adam")[0])
    by_name = {line[3]: (line[4].split()[0], line[6].split()[0]) for line in shown(named)}
    assert by_name == {"pdadmm": ("0.75", "1.50"), "adam": ("1.00", "1.00")}
    with pytest.raises(UserError, match="did you mean adam"):
        points_of_rows(rows, "adm")


def test_speedups_by_depth_from_the_rows_of_scale() -> None:
    common = {"optimizer_name": "pdadmm", "schedule": None, "model_hidden": 64, "n": 5, "speedup_low": None,
              "speedup_high": None, "env_cpu": "x", "env_cores": 2, "dist_device": "cpu",
              "time_iteration_median_s": 1.0}  # fmt: skip
    rows = [
        common | {"model_layers": layers, "dist_workers": workers, "speedup": speedup}
        for layers, workers, speedup in ((4, 1, 1.0), (4, 2, 1.5), (8, 1, 1.0), (8, 2, 1.9))
    ]
    tables = speedup_tables(points_of_scale(rows))
    assert [table.name for table in tables] == ["speedup-by-workers", "speedup-by-depth"]
    assert shown(tables[1])[0][4:] == ["1.50 (n=5)", "75.0 %", "1.90 (n=5)", "95.0 %"]


def test_rows_of_scale_keep_their_data_apart() -> None:
    common = {"optimizer_name": "pdadmm", "schedule": None, "model_layers": 4, "model_hidden": 64, "n": 5,
              "speedup_low": None, "speedup_high": None, "env_cpu": "x", "env_cores": 2,
              "dist_device": "cpu"}  # fmt: skip
    rows = [
        common | {"dataset_name": data, "dist_workers": workers, "speedup": workers, "time_iteration_median_s": seconds}
        for data, workers, seconds in (("cora", 1, 1.0), ("cora", 2, 0.5), ("pubmed", 1, 8.0), ("pubmed", 2, 2.0))
    ]
    (table,) = speedup_tables(points_of_scale(rows))
    assert [line[0] for line in shown(table)] == ["cora", "pubmed"]
    adam = [row | {"optimizer_name": "adam", "schedule": "gpipe"} for row in rows]
    (table,) = speedup_tables(points_of_scale(rows + adam, "adam"))
    assert [(line[0], line[3], line[6].split()[0]) for line in shown(table)] == [
        ("cora", "pdadmm", "2.00"), ("cora", "adam gpipe", "2.00"),
        ("pubmed", "pdadmm", "4.00"), ("pubmed", "adam gpipe", "2.00"),
    ]  # fmt: skip


def test_rows_of_scale_keep_their_meshes_apart() -> None:
    """Over rows, and over both; a mesh over rows is one line of all its numbers of workers."""
    common = {"optimizer_name": "adam", "schedule": None, "model_layers": 4, "model_hidden": 64, "n": 5,
              "speedup_low": None, "speedup_high": None, "time_iteration_median_s": 1.0,
              "env_cpu": "x", "env_cores": 2, "dist_device": "cpu"}  # fmt: skip
    rows = [
        common | {"dist_workers": workers, "dist_mesh": mesh, "speedup": speedup, "schedule": schedule}
        for workers, mesh, speedup, schedule in (
            (1, None, 1.0, "gpipe"), (2, None, 1.5, "gpipe"), (2, "layers=1,rows=2", 1.8, None),
            (4, None, 2.0, "gpipe"), (4, "layers=1,rows=4", 3.0, None), (4, "layers=2,rows=2", 2.5, "gpipe"),
        )
    ]  # fmt: skip
    (table,) = speedup_tables(points_of_scale(rows))
    assert [[line[place] for place in (3, 4, 6)] for line in shown(table)] == [
        ["adam gpipe", "1.50 (n=5)", "2.00 (n=5)"],
        ["adam rows", "1.80 (n=5)", "3.00 (n=5)"],
        ["adam gpipe layers=2,rows=2", "–", "2.50 (n=5)"],
    ]  # fmt: skip


def test_a_mesh_is_named_where_it_is_over_rows() -> None:
    """The number of workers says that layers are shared, as they are without a mesh, and never that rows are."""
    alone, layers, rows = a_row({"optimizer": "adam"}), *(
        a_row({"optimizer": "adam", "gpus": 2, "mesh": mesh}) for mesh in ("layers", "rows")
    )  # fmt: skip
    assert [line.optimizer for line in gather([alone, layers])] == ["adam", "adam"]
    assert [line.optimizer for line in gather([alone, rows])] == ["adam", "adam mesh=rows"]


def test_runs_over_layers_and_over_rows_have_speedups_against_one_worker() -> None:
    """Also of a gradient method, whose pipeline over layers has a schedule."""
    layers, over_rows = (
        runs("adam", TIME, [time] * 5, gpus=2, mesh=mesh) for time, mesh in ((3.0, "layers"), (2.0, "rows"))
    )
    rows = [
        *runs("adam", TIME, [4.0] * 5), *(row | {"dist_schedule": "gpipe"} for row in layers),
        *(row | {"dist_schedule": None} for row in over_rows),
    ]  # fmt: skip
    points, unpaired = points_of_rows(rows)
    assert not unpaired
    assert [line[3:5] for line in shown(speedup_tables(points)[0])] == [
        ["adam mesh=layers schedule=gpipe", "1.33 [1.33, 1.33] (n=5)"], ["adam mesh=rows", "2.00 [2.00, 2.00] (n=5)"],
    ]  # fmt: skip


def test_every_table_of_a_try_says_so() -> None:
    assert not any("quoted" in note for table in assemble(better(), []).tables for note in table.notes)
    tables = assemble([row | {"env_trial": True} for row in better()], []).tables
    assert tables and all("nothing in this table is to be quoted" in table.notes[0] for table in tables)


def test_problems_of_two_classes_have_a_table_of_roc_auc() -> None:
    assert "roc-auc" not in [table.name for table in assemble(better(), []).tables]
    rows = [
        row | {"acc_roc_auc_val_best": 0.9, "acc_roc_auc_test_at_best_val": row[ACCURACY] + 0.1} for row in better()
    ]
    (table,) = [table for table in assemble(rows, []).tables if table.name == "roc-auc"]
    assert [line[-3:] for line in shown(table)] == [
        ["adam", "90.0 % [90.0, 90.0] (n=8)", "80.9 % [80.2, 81.5] (n=8)"],
        ["pdadmm", "90.0 % [90.0, 90.0] (n=8)", "85.9 % [85.2, 86.5] (n=8)"],
    ]


def test_communication_by_wire() -> None:
    rows = [
        a_row({"gpus": 2, "wire": wire, "optimizer": "pdadmm"}, dist_wire=wire, dist_sent_bytes=size)
        for wire, size in (("fp32", 4000), ("uint8", 1000))
    ]
    table = communication_table(rows)
    assert table
    assert [line[-3:] for line in shown(table)] == [
        ["fp32", "4 kB (n=1)", "100.0 %"],
        ["uint8", "1 kB (n=1)", "25.0 %"],
    ]
    assert communication_table([a_row()]) is None


def test_communication_has_the_bytes_of_sums_over_rows() -> None:
    """Also where no neighbour sends anything."""
    over_rows = a_row({"gpus": 2, "mesh": "rows"}, dist_wire="fp32", dist_sent_bytes=0, dist_reduced_bytes=3000)
    table = communication_table([over_rows])
    assert table
    assert table.columns[-1].heading == "sums over rows"
    assert shown(table)[0][-3:] == ["0 B (n=1)", "–", "3 kB (n=1)"]
    layers = a_row({"gpus": 2}, dist_wire="fp32", dist_sent_bytes=4000)
    both = communication_table([over_rows, layers])
    assert both
    assert [line[-3:] for line in shown(both)] == [["0 B (n=1)", "–", "3 kB (n=1)"], ["4 kB (n=1)", "100.0 %", "–"]]


def test_a_profile_counts_a_miss_as_unsolved() -> None:
    rows = [
        *runs("adam", "time_to_target_s", [1.0], target=0.8), *runs("pdadmm", "time_to_target_s", [3.0], target=0.8),
        *runs("adam", "time_to_target_s", [None], target=0.8, dataset="pubmed"),
        *runs("pdadmm", "time_to_target_s", [3.0], target=0.8, dataset="pubmed"),
    ]  # fmt: skip
    (table,) = performance_profile_tables(rows)
    assert shown(table) == [
        ["adam", "50.0 %", "50.0 %", "50.0 %", "50.0 %", "50.0 %", "50.0 %"],
        ["pdadmm", "50.0 %", "50.0 %", "50.0 %", "100.0 %", "100.0 %", "100.0 %"],
    ]


AWKWARD = Table(
    "t", "50 % of a_b & {c} #1 ~ ^ \\ $",
    [Column("data_set"), Column("x", "accuracy")],
    [[Cell("[start] 1_2"), Cell(0.5, 0.4, 0.6, 5, best=True)], [Cell("a, \"b\" | c"), Cell()]],
    ["100 % → ∞"],
)  # fmt: skip


def test_csv_has_base_units_and_quotes() -> None:
    found = list(csv.reader(io.StringIO(render.comma_separated(AWKWARD))))
    assert found == [
        ["data_set", "x (fraction)", "x (fraction)_low", "x (fraction)_high", "x_n", "x_best"],
        ["[start] 1_2", "0.5", "0.4", "0.6", "5", "yes"],
        ['a, "b" | c', "", "", "", "", ""],
    ]


def test_the_same_rows_against_themselves_have_no_best() -> None:
    table = accuracy_table(Leaders(runs("adam", ACCURACY, LOW) + runs("pdadmm", ACCURACY, LOW)))
    assert table
    assert not any(cell.best for line in table.rows for cell in line)


def test_published_numbers_are_complete_and_beside_ours() -> None:
    for block in load("accuracy")["accuracy"]:
        for result in block["results"]:
            assert len(result["mean"]) == len(block["datasets"])
            assert len(result.get("sd", block["datasets"])) == len(block["datasets"])
    tables = {table.name: table for table in assemble(better(), [], published=True).tables}
    table = tables["published-accuracy"]
    line = next(line for line in shown(table) if line[1] == "pdadmm")
    assert line == ["cora", "pdadmm", "2 × 16", "75.9 % [75.2, 76.5] (n=8)", "10 × 100", "78.4 % (± 0.3, n=5)", "T"]
    assert any("2105.09837" in note for note in table.notes)


HISTORY = [
    {"iteration": k, "train_seconds": 0.1 * k, "acc_val": 0.5 + 0.01 * k, "objective": 2.0,
     "primal_residual": 1 / (k + 1) ** 2}
    for k in range(1, 20)
]  # fmt: skip


def test_pictures_are_medians_over_seeds_with_the_slope_of_1_over_k() -> None:
    rows = [a_row({"optimizer": "pdadmm", "seed": seed}, run_id=str(seed)) for seed in range(3)]
    histories = {
        str(seed): [{**step, "acc_val": step["acc_val"] + seed / 100} for step in HISTORY] for seed in range(3)
    }
    (picture,) = convergence_pictures(rows, histories).values()
    assert [len(panel.curves) for panel in picture.panels] == [1, 1, 1, 1]
    curve = picture.panels[2].curves[0]
    assert (curve.n[0], curve.y[0], curve.low[0], curve.high[0]) == (3, 0.52, 0.51, pytest.approx(0.53))
    guide = picture.panels[1].guide
    assert guide is not None and guide.name == "slope of 1/k"
    highest = max(step["iteration"] * step["primal_residual"] for step in HISTORY)
    assert guide.y == pytest.approx([highest / k for k in guide.x])
    residual = figure(picture).axes[1]
    assert [line.get_label() for line in residual.lines] == ["pdadmm (n=3)", "slope of 1/k"]
    assert (residual.get_xscale(), residual.get_yscale()) == ("log", "log")


def test_speedups_are_drawn_by_workers_depth_and_width_for_each_machine() -> None:
    def measured(workers: int, layers: int, hidden: int, seconds: float) -> list[Row]:
        return runs("pdadmm", TIME, [seconds] * 5, gpus=workers, layers=layers, hidden=hidden)

    rows = [
        *measured(1, 4, 16, 4.0), *measured(2, 4, 16, 2.0), *measured(1, 8, 16, 8.0), *measured(2, 8, 16, 5.0),
        *measured(1, 4, 32, 6.0), *measured(2, 4, 32, 4.0),
    ]  # fmt: skip
    here = speedup_pictures(points_of_rows(rows)[0])
    assert list(here) == ["speedup"]
    by_workers, by_depth, by_width = here["speedup"].panels
    assert [(curve.x, curve.y) for curve in by_workers.curves] == [
        ([1, 2], [1.0, 2.0]), ([1, 2], [1.0, 1.5]), ([1, 2], [1.0, 1.6]),
    ]  # fmt: skip
    assert by_workers.guide is not None and by_workers.guide.y == [1, 2]
    assert [(curve.x, curve.y) for curve in by_depth.curves] == [([4, 8], [2.0, 1.6])]
    assert [(curve.x, curve.y) for curve in by_width.curves] == [([16, 32], [2.0, 1.5])]
    assert by_depth.curves[0].label == "pdadmm, width 16, 2 workers (n=5)"
    assert [axes.get_title() for axes in figure(here["speedup"]).axes] == [
        "speedup by workers", "speedup by depth", "speedup by width",
    ]  # fmt: skip
    elsewhere = [row | {"env_cpu": "other"} for row in rows]
    assert list(speedup_pictures(points_of_rows(rows + elsewhere)[0])) == ["speedup-1", "speedup-2"]


def test_a_profile_is_drawn_as_steps_that_stay_where_they_end() -> None:
    rows = [
        *runs("adam", "time_to_target_s", [1.0], target=0.8), *runs("pdadmm", "time_to_target_s", [3.0], target=0.8),
        *runs("adam", "time_to_target_s", [None], target=0.8, dataset="pubmed"),
        *runs("pdadmm", "time_to_target_s", [3.0], target=0.8, dataset="pubmed"),
    ]  # fmt: skip
    (picture,) = performance_profile_pictures(rows).values()
    (panel,) = picture.panels
    assert {curve.name: (curve.x, curve.y) for curve in panel.curves} == {
        "adam": ([1.0, 6.0], [0.5, 0.5]),
        "pdadmm": ([1.0, 3.0, 6.0], [0.5, 1.0, 1.0]),
    }
    (axes,) = figure(picture).axes
    assert [label.get_text() for label in axes.get_xticklabels()] == ["1", "2", "5"]


def test_the_page_refers_to_nothing_outside() -> None:
    rows = better()
    report = assemble(rows, [])
    drawn = convergence_pictures(rows, {row["run_id"]: HISTORY for row in rows})
    source = page("<cora> & co", rows, report, drawn, ["something is missing"])
    scripts = re.compile(r"<script>.*?</script>", re.DOTALL)  # a script with a source would stay
    assert len(scripts.findall(source)) == 3
    assert ".md" not in scripts.sub("", source), "a page that was mailed has no file beside it"
    markup = scripts.sub("", source)
    assert re.findall(r"\b(?:src|href)\s*=\s*(\S+)", markup) == ['"data:,">']
    assert not re.search(r"https?:|//|@import|url\(", markup)
    assert "&lt;cora&gt; &amp; co" in source
    assert "something is missing" in source
    assert len(source) < 2.5e6
    plain = page("x", rows, report, {}, [])
    assert len(plain) < 100_000


def test_the_page_begins_with_the_answer() -> None:
    """What is shown, by how much, and what is not, with the reason; then the machine."""
    source = page("x", better(), assemble(better(), []), {}, [])
    said = re.findall(r'<p class="answer">(.*?)</p>', source)
    assert said[0] == "pdadmm is the most accurate on cora: 75.9 %, 5.0 [5.0, 5.0] points above adam."
    doubt = "adam has the lowest median but is not significantly ahead of pdadmm"
    assert said[1:] == [f"None is shown to be fastest per iteration on cora: {doubt}."]
    assert source.index("75.9 %, 5.0") < source.index("AMD EPYC") < source.index("<table")


def test_the_appendix_says_what_it_was_measured_on_and_with() -> None:
    rows = [row | {"env_torch": "2.13", "env_python": "3.11", "optimizer_rho": 0.5} for row in better()]
    environment, settings, every = appendix_tables(rows)
    facts = dict(shown(environment))
    assert (facts["torch"], facts["Python"], facts["machine"]) == ("2.13", "3.11", "AMD EPYC, 2 cores, cpu")
    assert [line[4] for line in shown(settings)] == ["adam", "pdadmm"]
    assert "rho 0.5" in shown(settings)[0][-1]
    assert len(every.rows) == 16


def test_a_page_says_whether_the_machine_was_checked() -> None:
    quiet, busy = ({"env_quiet": f"{word}: spread 2%, drift 0%, other load 1%"} for word in ("quiet", "not quiet"))
    rows = better()
    assert " · machine not checked · " in about(rows)
    assert " · machine checked quiet · " in about([row | quiet for row in rows])
    mixed = [*(row | quiet for row in rows[:3]), *(row | busy for row in rows[3:5]), *rows[5:]]
    assert " · machine checked quiet (3), not quiet (2), not checked (11) · " in about(mixed)
    facts = dict(shown(appendix_tables([row | busy for row in rows])[0]))
    assert facts["check of the machine"] == "not quiet: spread 2%, drift 0%, other load 1%"


@pytest.mark.parametrize(
    ("seeds", "words"),
    [
        (5, "adam has the highest mean but has too few seeds: 5 pairs, 6 needed."),
        (8, "pdadmm has the highest mean but is not significantly ahead of adam."),
    ],
)
def test_too_few_seeds_is_not_the_same_as_no_significance(seeds: int, words: str) -> None:
    mixed = [value + (0.01 if place % 2 else -0.009) for place, value in enumerate(LOW)]
    (first, *_) = sentences(Leaders(runs("adam", ACCURACY, LOW[:seeds]) + runs("pdadmm", ACCURACY, mixed[:seeds])))
    assert words in first


def test_problems_with_one_reason_are_one_clause_that_counts_who_leads() -> None:
    mixed = [value + (0.01 if place % 2 else -0.009) for place, value in enumerate(LOW)]
    rows = runs("adam", ACCURACY, LOW) + runs("pdadmm", ACCURACY, mixed)
    (four, *_) = sentences(Leaders([row | {"dataset_name": name} for name in "abcd" for row in rows]))
    assert four == (
        "None is shown to be the most accurate on 4 of 4 problems: "
        "the one with the highest mean is not significantly ahead of another (pdadmm on 4)."
    )


@pytest.mark.parametrize("seeds", [3, 5, 6, 7])
def test_a_report_and_a_comparison_of_the_same_rows_say_the_same(seeds: int) -> None:
    """Six seeds are enough for both, also where a comparison has times beside the accuracies; five are for neither."""
    a = runs("adam", ACCURACY, LOW[:seeds])
    b = runs("pdadmm", ACCURACY, [value + 0.05 for value in LOW[:seeds]])
    marked = any(cell.best for line in accuracy_table(Leaders(a + b)).rows for cell in line)
    lines = compare_rows(a, b, [metric(ACCURACY), metric(TIME)]).lines
    assert marked == (lines[0].comparison.verdict == "better") == (seeds >= 6)


def test_a_constant_setting_stands_in_the_caption() -> None:
    (table,) = iteration_tables(better())
    found = hoisted(table)
    assert found.title.endswith(" · cora · 2 layers · 16 units")
    assert [column.heading for column in found.columns][:2] == ["optimizer", "iteration"]
    assert [line[0].value for line in found.rows] == ["adam", "pdadmm"]
    assert hoisted(found) == found


def test_generated_graphs_have_short_names_on_a_page() -> None:
    generated = "sbm[nodes=400,classes=4,features=16,signal=2]"
    rows = [row | {"dataset_name": generated} for row in better()]
    report = assemble(rows, [])
    drawn = convergence_pictures(rows, {row["run_id"]: HISTORY for row in rows})
    assert list(drawn) == ["convergence-sbm-2-layers-16-1-worker"]
    assert generated not in page("x", rows, report, drawn, [])


def test_a_median_neither_turns_back_nor_jumps() -> None:
    """Three seeds of different speed, one of which stops early: its last value goes on to count."""
    rows = [a_row({"optimizer": "pdadmm", "seed": seed}, run_id=str(seed)) for seed in range(3)]
    histories = {
        str(seed): [
            {"iteration": k, "train_seconds": 2.0 + (1 + seed) * k, "acc_val": (seed + k) / 100}
            for k in range((3 if seed == 2 else 20) + 1)
        ]
        for seed in range(3)
    }
    *_, by_iteration, by_seconds = next(iter(convergence_pictures(rows, histories).values())).panels
    for panel in (by_iteration, by_seconds):
        (curve,) = panel.curves
        assert curve.x == sorted(set(curve.x))
        assert curve.y == sorted(curve.y), "every seed rises, so the median does"
        assert set(curve.n) == {3}
    assert (by_iteration.curves[0].x[-1], by_iteration.curves[0].y[-1]) == (20, pytest.approx(0.20))
    assert by_seconds.shade == ("warm start", 2.0)


def test_an_optimizer_has_one_colour_in_all_pictures() -> None:
    rows = [
        *runs("adam", TIME, [4.0] * 5), *runs("pdadmm", TIME, [4.0] * 5), *runs("pdadmm", TIME, [2.0] * 5, gpus=2),
        *runs("pdadmm", TIME, [3.0] * 5, layers=4), *runs("pdadmm", TIME, [2.0] * 5, gpus=2, layers=4),
    ]  # fmt: skip
    drawn = pictures(rows, {row["run_id"]: HISTORY for row in rows}, points_of_rows(rows)[0])
    assert {"answer", "speedup"} < set(drawn)
    looks = {
        (curve.optimizer, picture.look(curve)[0])
        for picture in drawn.values() for panel in picture.panels for curve in panel.curves
    }  # fmt: skip
    assert looks == {("adam", colour_of("adam")), ("pdadmm", colour_of("pdadmm"))}
    styles = {drawn["speedup"].look(curve)[1] for curve in drawn["speedup"].panels[0].curves}
    assert styles == {0, 1}, "two depths of one optimizer differ in their lines"
