"""Protocol 3 chooses by the mean of several runs, so that a trial that was lucky once is not chosen."""

from __future__ import annotations

import tomllib
from typing import Any

from pdadmm_bench.core.rows import Row, first_values, make_row
from pdadmm_bench.core.spec import run_spec
from pdadmm_bench.optim.create import create_optimizer
from pdadmm_bench.suite.file import read


def row(optimizer: str, dataset: str, acc_val: float, seed: int = 0, status: str = "ok", **hyperparameters: Any) -> Row:
    """The row of one trial."""
    settings = {
        "optimizer": optimizer,
        "dataset": dataset,
        "seed": seed,
        "preset": "none",
        "layers": 3,
        "iterations": 1,
    }
    spec = run_spec({**settings, "set": hyperparameters})
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


def test_the_best_three_trials_of_a_graph_and_of_all_are_repeated(tool, tmp_path) -> None:
    protocol_3 = tool("protocol_3")
    path = tmp_path / "again.toml"
    path.write_text(protocol_3.again(protocol_3.accuracies(searched())))
    repeated = tomllib.loads(path.read_text())["entry"]
    assert [(entry["dataset"], entry["set"]["lr"]) for entry in repeated] == [
        *(("cora", lr) for lr in (0.1, 0.2, 0.30000000000000004)),
        *(("photo", lr) for lr in (0.30000000000000004, 0.2, 0.1)),
    ]
    assert [entry.get("split_seeds") for entry in repeated] == [None] * 3 + [[1, 2]] * 3
    assert len(read(path).specs) == 12


def test_a_trial_that_was_lucky_once_is_not_chosen(tool, tmp_path) -> None:
    protocol_3 = tool("protocol_3")
    rows = searched()
    for seed in (1, 2):
        for lr, cora, photo in ((0.1, 0.60, 0.90), (0.2, 0.79, 0.90), (0.30000000000000004, 0.77, 0.90)):
            rows += [row("sgd", "cora", cora, seed, lr=lr), row("sgd", "photo", photo, seed, lr=lr)]
    (tmp_path / "sgd.toml").write_text('source = "a test"\n\n[[entry]]\nvalues = { lr = 0.5 }\n')
    for _ in range(2):  # the second time replaces the section of the first
        protocol_3.presets(protocol_3.accuracies(rows), tmp_path)
        entries = tomllib.loads((tmp_path / "sgd.toml").read_text())["entry"]
        few = {"splits": ["auto", "public", "random"], "reduced": True}
        assert entries == [
            {"values": {"lr": 0.5}},
            {**few, "values": {"lr": 0.2}},
            {"datasets": ["photo"], **few, "values": {"lr": 0.30000000000000004}},
        ]


def test_reduced_features_have_values_of_their_own() -> None:
    few, reduced, many = (
        create_optimizer(run_spec({"optimizer": "adam", "dataset": "cora", **values})).hyperparameters.model_dump()
        for values in ({}, {"reduce": "rows"}, {"split": "fraction", "reduce": "256"})
    )
    assert few != reduced != many
