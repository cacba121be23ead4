"""Do the Lagrangians of pdADMM and dlADMM fall on real graphs, and their residuals as 1/k?

    python tools/studies/convergence.py reports/studies/convergence.json

Through the same calls as ``pdadmm-bench run``, in single precision and in double; the raw files are found as there.
pdADMM has ρ = 5ν, dlADMM a ρ above twice the Lipschitz constant ½ of the loss's gradient.
``tests/data/test_convergence_real.py`` checks the same runs.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from itertools import product

import torch
from kept import keep

from pdadmm_bench.core.spec import RunSpec, run_spec
from pdadmm_bench.data.load import load_problem
from pdadmm_bench.training.row import Step
from pdadmm_bench.training.run import run

DATASETS = ("cora", "citeseer", "pubmed")
ITERATIONS = 200
HYPERPARAMETERS = {
    "pdadmm": {"rho": 0.05, "nu": 0.01, "mu": 1e-3},
    "dladmm": {"rho": 2.5, "nu": 0.01, "mu": 1e-3},
}
FIGURES = ("objective", "primal_residual")


def convergence_spec(optimizer: str, dataset: str) -> RunSpec:
    """3 layers × 64 for 200 iterations on one thread; everything else is the optimizer's own default."""
    network = {"layers": 3, "hidden": 64, "init": "he", "warm_start": "none", "feature_scale": "none", "threads": 1}
    steps = {"iterations": ITERATIONS, "eval_every": ITERATIONS, "preset": "none", "set": HYPERPARAMETERS[optimizer]}
    return run_spec({"dataset": dataset, "optimizer": optimizer, **network, **steps})


def iterations_of(optimizer: str, dataset: str, precision: torch.dtype = torch.float32) -> list[Step]:
    """The steps of the run, without the start."""
    spec = convergence_spec(optimizer, dataset)
    problem = load_problem(spec.data)
    exact = {name: replace(rows, x=rows.x.to(precision)) for name, rows in problem.parts().items()}
    torch.set_default_dtype(precision)
    try:
        return [step for step in run(spec, replace(problem, **exact)).history if step["iteration"] > 0]
    finally:
        torch.set_default_dtype(torch.float32)


def main(path: str) -> None:
    """Keep objective and residual of every iteration, to nine digits."""
    rows = []
    for optimizer, dataset, precision in product(HYPERPARAMETERS, DATASETS, (torch.float32, torch.float64)):
        steps = iterations_of(optimizer, dataset, precision)
        found = {name: [float(f"{step[name]:.9g}") for step in steps] for name in FIGURES}
        place = {"optimizer": optimizer, "dataset": dataset, "precision": str(precision).removeprefix("torch.")}
        rows.append(place | HYPERPARAMETERS[optimizer] | found)
    keep(path, rows)


if __name__ == "__main__":
    main(sys.argv[1])
