"""Which rows and features a run has: the options of its data."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from shell import DATASET, Cli

from pdadmm_bench.core.rows import read_rows
from pdadmm_bench.core.spec import recorded_spec

SHORT = ("run", "--dataset", DATASET, "--hops", "1", "--layers", "3", "--hidden", "8", "--iterations", "3", "--quiet")


@pytest.mark.slow
def test_a_fraction_and_reduced_features_are_in_the_row(cli: Cli, with_store: Path) -> None:
    options = ("--split", "fraction", "--train-fraction", "0.5", "--stratified", "--reduce", "7", "--json", "rows.json")
    answer = cli(*SHORT, *options, "--optimizer", "adam", "--optimizer", "pdadmm")
    assert answer.code == 0, answer.err
    rows = read_rows(with_store / "rows.json")
    assert len(rows) == 2
    for row in rows:
        assert (row["dataset_split"], row["dataset_train_count"], row["dataset_val_count"]) == (
            "fraction 0.5 stratified", 150, 75,
        )  # fmt: skip
        assert (row["dataset_reduce"], row["dataset_reduce_columns"]) == ("7", 7)
        assert 0 < row["dataset_reduce_kept"] < 1
        assert row["model_parameters"] == 8 * 8 + 9 * 8 + 9 * 3
        assert row["env_protocol"] == "3 but hops=1 train_fraction=0.5 stratified=True reduce=7"
        assert recorded_spec(row["spec"])["reduce"] == "7"
    assert rows[0]["weights_initial_sha256"] == rows[1]["weights_initial_sha256"]
    assert rows[0]["dataset_sha256"] == rows[1]["dataset_sha256"]


def test_prepare_makes_what_the_run_takes(cli: Cli) -> None:
    options = ("--hops", "1", "--split", "fraction", "--train-fraction", "0.3", "--reduce", "rows")
    first = cli("prepare", DATASET, *options)
    assert "90/105/105 rows × 24 features" in first.out
    assert "cached" in cli("prepare", DATASET, *options).out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ("--split", "fraction", "--train-fraction", "1.2"),
            "train_fraction=1.2 is not valid: input should be less than 1",
        ),
        (("--split", "full"), "has no full split, since the source publishes no split; it has per-class, fraction"),
        (("--split", "halves"), "split='halves' is not valid"),
        (("--split", "given", "--split-index", "3"), "has no given split, since no split came with the data"),
        (("--reduce", "0"), "reduce='0' is not valid: give a number of directions, at least 1 (as in 256), or rows"),
    ],
)
def test_mistakes_are_named(cli: Cli, options: tuple[str, ...], message: str) -> None:
    answer = cli(*SHORT, *options, "--dry-run")
    assert answer.code != 0
    assert message in " ".join(answer.error.split())


def test_settings_of_data_are_part_of_the_record() -> None:
    old = json.dumps({"dataset": "cora"})
    assert {recorded_spec(old)[name] for name in ("reduce", "split_index", "stratified")} == {"none", 0}


@pytest.mark.slow
@pytest.mark.dist
def test_reduced_features_are_the_same_for_every_partition(cli: Cli, with_store: Path) -> None:
    found = []
    for workers in ("1", "2"):
        options = ("--reduce", "rows", "--deterministic", "--gpus", workers, "--threads", "1", "--warm-start", "none")
        answer = cli(*SHORT, *options, "--json", "rows.json")
        assert answer.code == 0, answer.err
        found += read_rows(with_store / "rows.json")
    one, two = found
    assert one["dataset_reduce_columns"] == 24
    assert (one["weights_initial_sha256"], one["weights_sha256"]) == (
        two["weights_initial_sha256"], two["weights_sha256"],
    )  # fmt: skip
