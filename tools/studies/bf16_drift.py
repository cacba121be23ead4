"""How far does the carried residual drift with bf16 products, by the period of exact residuals?

    python tools/studies/bf16_drift.py reports/studies/bf16-drift.json

pdADMM with its default preset and one seed, on Cora and PubMed, 2 × 500 from he and 10 × 500 from identity layers. The
drift of a layer is ‖r − (p Wᵀ + b − z)‖ / ‖r‖ just before an exact residual is computed; kept is that of the worst.
"""

from __future__ import annotations

import sys

from kept import keep

from pdadmm_bench.core.block import Block
from pdadmm_bench.core.spec import RunSpec, run_spec
from pdadmm_bench.data.load import load_problem
from pdadmm_bench.data.problem import Problem
from pdadmm_bench.timing.subject import Subject

DATASETS = ("cora", "pubmed")
NETWORKS = ((2, "he"), (10, "identity"))
PRODUCTS = (("fp32", 0), ("bf16", 10), ("bf16", 25), ("bf16", 50), ("bf16", 0))
"""Precision, and the iterations from one exact residual to the next; 0 is never."""
ITERATIONS = 100
SEEN = (9, 49, 99)


def spec_of(dataset: str, layers: int, init: str, precision: str, period: int) -> RunSpec:
    """100 iterations at full depth on one thread, with an exact residual every ``period`` of them."""
    network = {"layers": layers, "hidden": 500, "init": init, "warm_start": "none", "threads": 1}
    steps = {"iterations": ITERATIONS, "precision": precision, "set": {"refresh": period}}
    return run_spec({"dataset": dataset, "optimizer": "pdadmm", **network, **steps})


def drift(spec: RunSpec, problem: Problem) -> dict[str, float]:
    """The drift at the iterations ``SEEN``, and the best validation accuracy, evaluated at every tenth iteration."""
    subject = Subject(spec, problem)  # has made its first iteration
    optimizer, state, block = subject.optimizer, subject.state, Block.whole(spec.model.layers)
    found, best = {}, 0.0
    for iteration in range(2, ITERATIONS + 1):
        subject()
        if iteration in SEEN:
            exact = [layer.p @ layer.W.T + layer.b - layer.z for layer in state.layers]
            worst = max(float((x.r - r).norm() / r.norm()) for x, r in zip(state.layers, exact, strict=True))
            found[f"drift_{iteration}"] = worst
        if iteration % 10 == 0:
            right = optimizer.predict(state, problem.val.x, block).argmax(1) == problem.val.y
            best = max(best, float(right.double().mean()))
    return {**found, "acc_val_best": best}


def main(path: str) -> None:
    """Measure every graph, network, precision and period."""
    rows = []
    for dataset in DATASETS:
        problem = load_problem(spec_of(dataset, *NETWORKS[0], *PRODUCTS[0]).data)
        for layers, init in NETWORKS:
            for precision, period in PRODUCTS:
                settings = {"dataset": dataset, "layers": layers, "precision": precision, "period": period}
                rows.append(settings | drift(spec_of(dataset, layers, init, precision, period), problem))
                print(rows[-1], flush=True)
    keep(path, rows)


if __name__ == "__main__":
    main(sys.argv[1])
