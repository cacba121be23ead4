"""Print the drift of the carried residual with bf16 products, by the period of exact residuals.

    python tools/studies/bf16_drift.py cora pubmed

pdADMM with its default preset and one seed, on 2 × 500 from he and 10 × 500 from identity layers. The drift of a layer
is ‖r − (p Wᵀ + b − z)‖ / ‖r‖ just before an exact residual is computed; the table has the drift of the worst layer.
"""

from __future__ import annotations

import sys

from pdadmm_bench.core.block import Block
from pdadmm_bench.core.spec import RunSpec, run_spec
from pdadmm_bench.data.load import load_problem
from pdadmm_bench.data.problem import Problem
from pdadmm_bench.report.render import markdown_body
from pdadmm_bench.report.table import table_of_words
from pdadmm_bench.timing.subject import Subject

PERIODS = (0, 50, 25, 10)
ITERATIONS = 100
SEEN = (9, 49, 99)
NETWORKS = ((2, "he"), (10, "identity"))


def spec_of(dataset: str, layers: int, init: str, precision: str, period: int) -> RunSpec:
    """100 iterations at full depth on one thread, with an exact residual every ``period`` of them."""
    network = {"layers": layers, "hidden": 500, "init": init, "warm_start": "none", "threads": 1}
    steps = {"iterations": ITERATIONS, "precision": precision, "set": {"refresh": period}}
    return run_spec({"dataset": dataset, "optimizer": "pdadmm", **network, **steps})


def drift(spec: RunSpec, problem: Problem) -> tuple[list[float], float]:
    """The drift at the iterations ``SEEN``, and the best validation accuracy, evaluated at every tenth iteration."""
    subject = Subject(spec, problem)  # has made its first iteration
    optimizer, state, block = subject.optimizer, subject.state, Block.whole(spec.model.layers)
    found, best = [], 0.0
    for iteration in range(2, ITERATIONS + 1):
        subject()
        if iteration in SEEN:
            exact = [layer.p @ layer.W.T + layer.b - layer.z for layer in state.layers]
            found.append(max(float((x.r - r).norm() / r.norm()) for x, r in zip(state.layers, exact, strict=True)))
        if iteration % 10 == 0:
            right = optimizer.predict(state, problem.val.x, block).argmax(1) == problem.val.y
            best = max(best, float(right.double().mean()))
    return found, best


def main(datasets: list[str]) -> None:
    """One line per graph, network, precision and period."""
    lines = []
    for dataset in datasets:
        problem = load_problem(spec_of(dataset, *NETWORKS[0], "fp32", 0).data)
        for layers, init in NETWORKS:
            for precision, period in (("fp32", 0), *(("bf16", period) for period in PERIODS)):
                found, best = drift(spec_of(dataset, layers, init, precision, period), problem)
                shown = [dataset, f"{layers} × 500", precision, str(period or "never")]
                lines.append([*shown, *(f"{value:.1e}" for value in found), f"{100 * best:.1f}"])
    header = ["graph", "network", "products", "exact every", *(f"iteration {i}" for i in SEEN), "best validation, %"]
    print(markdown_body(table_of_words("bf16-drift", "", header, lines, labels=4)))


if __name__ == "__main__":
    main(sys.argv[1:])
