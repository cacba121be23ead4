"""Rows for the tests of statistics: small, literal, as a run writes them."""

from __future__ import annotations

import json
from typing import Any

from pdadmm_bench.core.rows import Row, make_row
from pdadmm_bench.core.spec import run_spec

MACHINE = {"env_cpu": "AMD EPYC", "env_cores": 2, "env_gpu": None, "env_gpu_count": 0, "dist_device": "cpu"}


def a_row(asked: dict[str, Any] | None = None, **values: Any) -> Row:
    """A finished row; ``asked`` are run options (``optimizer``, ``seed``, …), ``values`` go over the columns."""
    spec = run_spec({"dataset": "cora", "layers": 2, "hidden": 16, **(asked or {})})
    columns = {
        "run_id": f"{spec.optimizer} {spec.seed}",
        "status": "ok",
        "spec": json.dumps(spec.flat()),
        "seed": spec.seed,
        "dataset_name": spec.data.dataset,
        "dataset_split": "public",
        "dataset_split_seed": spec.data.split_seed,
        "dataset_sha256": f"{spec.data.dataset} {spec.data.split_seed}",
        "optimizer_name": spec.optimizer,
        "model_layers": spec.model.layers,
        "model_hidden": spec.model.hidden,
        "dist_workers": spec.gpus,
        "dist_threads": 1,
        "acc_test_at_best_val": 0.8,
        "time_iteration_median_s": 1.0,
        "time_train_s": 10.0,
        "time_target_accuracy": spec.target,
        "created": f"2030-01-01T00:00:{spec.seed:02d}+00:00",
    }
    return make_row({**columns, **MACHINE, **values})


def runs(optimizer: str, column: str, values: list[float | None], **asked: Any) -> list[Row]:
    """A row per value, with seeds 0, 1, …"""
    return [
        a_row({"optimizer": optimizer, "seed": seed, **asked}, **{column: value}) for seed, value in enumerate(values)
    ]
