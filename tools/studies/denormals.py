"""What do denormal numbers cost on a CPU? The same run with them and with zeros in their place, in turn.

    python tools/studies/denormals.py reports/studies/denormals.json

Three pairs of each case, one thread.
"""

from __future__ import annotations

import sys
from typing import Any

import torch
from kept import keep

from pdadmm_bench.core.spec import run_spec
from pdadmm_bench.data.load import load_problem
from pdadmm_bench.runner import run

PAIRS = 3
SETTINGS = {"layers": 10, "eval_every": 50, "threads": 1}
FEW = {"reduce": "rows", "hidden": 500, "iterations": 200, "warm_start": "none", **SETTINGS}
MANY = {"split": "fraction", "reduce": 256, "hidden": 128, "iterations": 50, **SETTINGS}
CASES: dict[str, dict[str, Any]] = {
    "`adagrad`, Photo, from the identity": {**FEW, "dataset": "photo", "optimizer": "adagrad", "init": "identity"},
    "`adagrad`, 60 % of Computers": {**MANY, "dataset": "computers", "optimizer": "adagrad"},
    "`pdadmm-m`, Photo, from He's start": {**FEW, "dataset": "photo", "optimizer": "pdadmm-m", "init": "he"},
    "`pdadmm`, 60 % of Photo": {**MANY, "dataset": "photo", "optimizer": "pdadmm"},
}
MODES = {"flushed": torch.set_flush_denormal, "kept": lambda mode: False}
"""What a run asks for, and a machine that cannot do it."""


def measure(settings: dict[str, Any], mode: str) -> dict[str, float]:
    """Training seconds and best validation accuracy of a run."""
    torch.set_flush_denormal = MODES[mode]
    spec = run_spec(settings)
    row = run(spec, load_problem(spec.data)).row
    return {f"{mode}_s": row["time_train_s"], f"{mode}_acc_val": row["acc_val_best"]}


def main(path: str) -> None:
    """Measure every case."""
    rows = []
    for case, settings in CASES.items():
        for pair in range(PAIRS):
            rows.append({"case": case, "pair": pair} | measure(settings, "kept") | measure(settings, "flushed"))
            print(rows[-1], flush=True)
            keep(path, rows)


if __name__ == "__main__":
    main(sys.argv[1])
