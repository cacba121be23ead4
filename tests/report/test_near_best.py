"""Seconds to one accuracy for all methods, and the factor against the fastest method on one worker; values by hand."""

from __future__ import annotations

import pytest
from stats_rows import a_row

from pdadmm_bench.core.history import History
from pdadmm_bench.core.rows import Row
from pdadmm_bench.report.assemble import assemble
from pdadmm_bench.report.table import Table, text
from pdadmm_bench.report.tables.near_best import near_best_tables

SEEDS = range(5)
Steps = dict[str, History]


def a_run(optimizer: str, seed: int, seconds: float, best: float = 0.8, workers: int = 1, **values: object) -> Row:
    """A run that reaches its ``best`` accuracy after ``seconds``; its warm start takes the first of them."""
    name = f"{optimizer} {workers} {seed} {seconds}"
    asked = {"optimizer": optimizer, "seed": seed, "gpus": workers}
    return a_row(asked, run_id=name, acc_val_best=best, time_warm_start_s=1.0, time_train_s=seconds + 1, **values)


def steps_of(rows: list[Row]) -> Steps:
    """The start, which is as good as the best and counts for nothing; a step short of 99 %; the best; one after."""
    found = {}
    for row in rows:
        best, end = row["acc_val_best"], row["time_train_s"]
        accuracies = ((0, 1.0, best), (1, end - 1.5, 0.98 * best), (2, end - 1, best), (3, end, best))
        found[row["run_id"]] = [
            {"iteration": place, "train_seconds": seconds, "acc_val": accuracy}
            for place, seconds, accuracy in accuracies
        ]
    return found


def two_methods() -> list[Row]:
    """Adam takes 4 + s seconds at seed s; pdADMM twice as long on one worker, half as long on two."""
    return [
        a_run(optimizer, seed, factor * (4 + seed), workers=workers)
        for optimizer, workers, factor in (("adam", 1, 1.0), ("pdadmm", 1, 2.0), ("pdadmm", 2, 0.5))
        for seed in SEEDS
    ]  # fmt: skip


def shown(table: Table) -> list[list[str]]:
    """Workers and optimizer of each line, and its values."""
    lines = [[text(cell, column) for cell, column in zip(line, table.columns, strict=True)] for line in table.rows]
    return [line[3:] for line in lines]


def test_methods_and_layouts_are_compared_with_the_fastest_on_one_worker() -> None:
    rows = two_methods()
    (table,) = near_best_tables(rows, steps_of(rows))
    assert [column.heading for column in table.columns[3:]] == [
        "workers", "optimizer", "time", "reached", "× the fastest\non one worker",
    ]  # fmt: skip
    assert shown(table) == [
        ["1", "adam", "6 s [4 s, 8 s] (n=5)", "5 of 5", "reference"],
        ["1", "pdadmm", "12 s [8 s, 16 s] (n=5)", "5 of 5", "0.50 [0.50, 0.50] (n=5)"],
        ["2", "pdadmm", "3 s [2 s, 4 s] (n=5)", "5 of 5", "2.00 [2.00, 2.00] (n=5)"],
    ]


def test_the_target_is_the_best_of_any_run_of_the_seed() -> None:
    """Also of one on another machine, or without steps. Two seeds of adam do not get there then, and have no factor."""
    rows = two_methods()
    better = [a_run("sgd", seed, 9.0, best=0.82, env_cpu="other") for seed in (0, 1)]
    (table,) = near_best_tables([*rows, *better], steps_of(rows))
    assert [line[3] for line in shown(table)] == ["3 of 5"] * 3
    assert [line[2].split()[0] for line in shown(table)] == ["8", "16", "4"], "of 6, 7, 8, never, never"
    assert [line[4] for line in shown(table)] == ["reference", "–", "–"]
    better = [a_run("sgd", seed, 9.0, best=0.82, env_cpu="other") for seed in (0, 1, 2)]
    (table,) = near_best_tables([*rows, *better], steps_of(rows))
    assert [line[2].split()[0] for line in shown(table)] == ["never"] * 3
    assert [line[4] for line in shown(table)] == ["–"] * 3, "no method on one worker gets there in most runs"


@pytest.mark.parametrize(("name", "value"), [("dataset", "pubmed"), ("layers", 4), ("split", "full"), ("hops", 1)])
def test_other_data_and_networks_are_other_problems(name: str, value: object) -> None:
    """Their accuracies are no target here, and with one method they have no line."""
    rows = two_methods()
    asked = {"optimizer": "adam", name: value}
    other = a_row(asked, run_id="other", acc_val_best=0.99, time_train_s=2.0)
    (table,) = near_best_tables([*rows, other], steps_of([*rows, other]))
    assert [line[3] for line in shown(table)] == ["5 of 5"] * 3


def test_runs_that_shared_the_machine_count_as_hits_and_not_as_seconds() -> None:
    rows = two_methods()
    shared = [a_run("adam", seed, 1.5, env_concurrency=2) for seed in SEEDS]
    (table,) = near_best_tables([*rows, *shared], steps_of([*rows, *shared]))
    assert shown(table)[0][2:] == ["6 s [4 s, 8 s] (n=5)", "10 of 10", "reference"]


def test_a_report_says_why_there_is_no_such_table() -> None:
    rows = two_methods()
    of_adam = [row for row in rows if row["optimizer_name"] == "adam"]
    remark = "no time to the best of any method: "
    assert remark + "the steps of the runs are not there" in assemble(rows, []).missing
    assert remark + "it needs two methods or layouts" in assemble(of_adam, [], histories=steps_of(of_adam)).missing
    report = assemble(rows, [], histories=steps_of(rows[1:]))
    assert "not in the time to the best of any method: no steps (rows: 1)" in report.missing
    assert "time-to-near-best" in [table.name for table in report.tables]
