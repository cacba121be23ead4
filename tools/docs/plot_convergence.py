"""Draw the objective of pdADMM on real graphs, and its residual beside 1/k, the rate of the convergence theorem.

    python tools/docs/plot_convergence.py docs/images/convergence.png

Runs pdADMM with ρ = 5ν through the same calls as ``pdadmm-bench run``; the raw files are found as there.
``tests/data/test_convergence_real.py`` checks the same runs.
"""

from __future__ import annotations

import sys
from pathlib import Path

from matplotlib.figure import Figure

from pdadmm_bench.core.spec import RunSpec, run_spec
from pdadmm_bench.data.load import load_problem
from pdadmm_bench.report.figures.style import CYCLE, GREY, STYLES, heading, line, panels
from pdadmm_bench.training.row import Step
from pdadmm_bench.training.run import run

DATASETS = ("cora", "citeseer", "pubmed")
ITERATIONS = 200
HYPERPARAMETERS = {"rho": 0.05, "nu": 0.01, "mu": 1e-3}


def convergence_spec(dataset: str) -> RunSpec:
    """3 layers × 64 for 200 iterations on one thread; everything else is the optimizer's own default."""
    network = {"layers": 3, "hidden": 64, "init": "he", "warm_start": "none", "feature_scale": "none", "threads": 1}
    steps = {"iterations": ITERATIONS, "eval_every": ITERATIONS, "preset": "none", "set": HYPERPARAMETERS}
    return run_spec({"dataset": dataset, "optimizer": "pdadmm", **network, **steps})


def iterations_of(dataset: str) -> list[Step]:
    """The steps of the run, without the start."""
    spec = convergence_spec(dataset)
    return [step for step in run(spec, load_problem(spec.data)).history if step["iteration"] > 0]


def figure(histories: dict[str, list[Step]]) -> Figure:
    """Objective and primal residual of every dataset."""
    drawn, (objective, residual) = panels(2, width=5.2, height=3.8)
    for place, (dataset, steps) in enumerate(histories.items()):
        k = [step["iteration"] for step in steps]
        look = {"color": CYCLE[place], "linestyle": STYLES[place], "label": dataset}
        line(objective, k, [step["objective"] for step in steps], **look)
        line(residual, k, [step["primal_residual"] for step in steps], **look)
    highest = max(step["iteration"] * step["primal_residual"] for steps in histories.values() for step in steps)
    guide = [highest / k for k in (1, ITERATIONS)]
    residual.plot([1, ITERATIONS], guide, color=GREY, linestyle=":", linewidth=1.2, label="1/k")
    for axes, title in ((objective, "objective (Lagrangian)"), (residual, "primal residual Σ‖p − q‖²")):
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_title(title)
        axes.set_xlabel("iteration k")
        axes.legend(fontsize=8, frameon=False, loc="lower left")
    values = HYPERPARAMETERS
    heading(drawn, f"pdadmm, 3 layers × 64, ρ = {values['rho']:g}, ν = {values['nu']:g}, μ = {values['mu']:g}")
    return drawn


if __name__ == "__main__":
    figure({dataset: iterations_of(dataset) for dataset in DATASETS}).savefig(Path(sys.argv[1]))
