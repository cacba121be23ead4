"""Protocol 3 chooses by the mean of several runs, so that a trial that was lucky once is not chosen."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from pdadmm_bench.core.rows import Row, first_values, make_row
from pdadmm_bench.core.spec import run_spec
from pdadmm_bench.optim.create import create_optimizer
from pdadmm_bench.suite.file import read
from pdadmm_bench.suite.results import Results

BATCHES = {"batch_size": 512}


def row(optimizer: str, dataset: str, acc_val: float, seed: int = 0, status: str = "ok", **more: Any) -> Row:
    """The row of one trial; ``lr`` is its hyperparameter, the rest are settings."""
    settings = {
        "optimizer": optimizer,
        "dataset": dataset,
        "seed": seed,
        "preset": "none",
        "layers": 3,
        "iterations": 1,
        "set": {"lr": more.pop("lr")},
    }
    spec = run_spec({**settings, **more})
    return make_row(
        {**first_values(spec), "status": status, "acc_val_best": acc_val, "acc_test_at_best_val": 1 - acc_val}
    )


def searched() -> list[Row]:
    """Five trials of SGD on two graphs; the last one failed on one of them."""
    rows = []
    for place, (cora, photo) in enumerate([(0.80, 0.90), (0.79, 0.91), (0.78, 0.92), (0.70, 0.70), (0.60, 0.99)]):
        rows.append(row("sgd", "cora", cora, lr=0.1 * (place + 1)))
        rows.append(row("sgd", "photo", photo, lr=0.1 * (place + 1), status="diverged" if place == 4 else "ok"))
    return rows


def kept(rows: list[Row], folder: Path) -> list[Path]:
    """The rows as the results of a suite."""
    results = Results(folder)
    results.prepare()
    for place, each in enumerate(rows):
        results.write(f"{place:064x}", each)
    return [folder]


def test_the_best_three_trials_of_a_graph_and_of_all_are_repeated(tool, tmp_path) -> None:
    protocol_3 = tool("protocol_3")
    problems = protocol_3.PROBLEMS["few"]
    path = tmp_path / "again.toml"
    path.write_text(protocol_3.again(protocol_3.accuracies(kept(searched(), tmp_path), problems), problems))
    repeated = tomllib.loads(path.read_text())["entry"]
    assert [(entry["dataset"], entry["set"]["lr"]) for entry in repeated] == [
        *(("cora", lr) for lr in (0.1, 0.2, 0.30000000000000004)),
        *(("photo", lr) for lr in (0.30000000000000004, 0.2, 0.1)),
    ]
    assert [entry.get("split_seeds") for entry in repeated] == [None] * 3 + [[1, 2]] * 3
    assert len(read(path).specs) == 12


def test_a_trial_that_was_lucky_once_is_not_chosen(tool, tmp_path) -> None:
    protocol_3 = tool("protocol_3")
    problems = protocol_3.PROBLEMS["few"]
    rows = searched()
    for seed in (1, 2):
        for lr, cora, photo in ((0.1, 0.60, 0.90), (0.2, 0.79, 0.90), (0.30000000000000004, 0.77, 0.90)):
            rows += [row("sgd", "cora", cora, seed, lr=lr), row("sgd", "photo", photo, seed, lr=lr)]
    (tmp_path / "sgd.toml").write_text('source = "a test"\n\n[[entry]]\nvalues = { lr = 0.5 }\n')
    sources = kept(rows, tmp_path / "results")
    for _ in range(2):  # the second time replaces the section of the first, and takes the trials from the table
        found = protocol_3.accuracies(sources, problems)
        protocol_3.presets(found, problems, tmp_path)
        entries = tomllib.loads((tmp_path / "sgd.toml").read_text())["entry"]
        few = {"splits": ["auto", "public", "random"], "reduced": True}
        assert entries == [
            {"values": {"lr": 0.5}},
            {**few, "values": {"lr": 0.2}},
            {"datasets": ["photo"], **few, "values": {"lr": 0.30000000000000004}},
        ]
        protocol_3.write_table(tmp_path / "trials.csv", found)
        sources = [tmp_path / "trials.csv"]


def test_mini_batches_of_many_labels_have_values_of_their_own(tool, tmp_path) -> None:
    protocol_3 = tool("protocol_3")
    many = {"split": "fraction", "reduce": "256"}
    rows = [
        row("sgd", "photo", acc_val, seed, lr=lr, **many, **batches)
        for seed in (0, 1)
        for lr, acc_val, batches in ((0.1, 0.9, {}), (0.2, 0.8, {}), (0.1, 0.7, BATCHES), (0.2, 0.8, BATCHES))
    ]
    (tmp_path / "sgd.toml").write_text('source = "a test"\n\n[[entry]]\nvalues = { lr = 0.5 }\n')
    problems = protocol_3.PROBLEMS["many"]
    found = protocol_3.accuracies(kept(rows, tmp_path / "results"), problems)
    where = {"splits": ["fraction", "full"]}
    for _ in range(2):  # the second time replaces the entries of the first, and keeps those for few labels
        protocol_3.presets(found, problems, tmp_path)
        assert tomllib.loads((tmp_path / "sgd.toml").read_text())["entry"] == [
            {"values": {"lr": 0.5}},
            {**where, "values": {"lr": 0.1}},
            {**where, "batches": True, "values": {"lr": 0.2}},
        ]


def test_a_start_without_a_warm_start_has_values_of_its_own(tool, tmp_path) -> None:
    protocol_3 = tool("protocol_3")
    deep = {"init": "identity", "warm_start": "none"}
    rows = [
        row("sgd", "photo", acc_val, seed, lr=lr, **start)
        for seed in (0, 1)
        for lr, acc_val, start in ((0.1, 0.9, {}), (0.2, 0.8, {}), (0.1, 0.7, deep), (0.2, 0.8, deep))
    ]
    problems = protocol_3.PROBLEMS["few"]
    protocol_3.presets(protocol_3.accuracies(kept(rows, tmp_path / "results"), problems), problems, tmp_path)
    few = {"splits": ["auto", "public", "random"], "reduced": True}
    assert tomllib.loads((tmp_path / "sgd.toml").read_text())["entry"] == [
        {**few, "values": {"lr": 0.1}},
        {**few, "init": "identity", "values": {"lr": 0.2}},
    ]


def test_reduced_features_have_values_of_their_own() -> None:
    few, reduced, many = (
        create_optimizer(run_spec({"optimizer": "adam", "dataset": "cora", **values})).hyperparameters.model_dump()
        for values in ({}, {"reduce": "rows"}, {"split": "fraction", "reduce": "256"})
    )
    assert few != reduced != many
