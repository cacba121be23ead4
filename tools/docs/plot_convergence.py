"""Draws the objective of pdADMM on real graphs, and its residual beside 1/k, the rate of the convergence theorem.

    python tools/studies/convergence.py reports/studies/convergence.json
    python tools/docs/plot_convergence.py    # docs/images/convergence.png

The table of the same runs is made by ``tools/docs/studies.py``.
"""

from __future__ import annotations

import sys
from typing import Any

from marked import ROOT, main
from matplotlib.figure import Figure
from studies import CONVERGENCE

from pdadmm_bench.report.figures.style import CYCLE, GREY, STYLES, heading, line, panels

PICTURE = ROOT / "docs" / "images" / "convergence.png"


def figure(rows: list[dict[str, Any]]) -> Figure:
    """Objective and primal residual of every dataset, in single precision."""
    drawn, (objective, residual) = panels(2, width=5.2, height=3.8)
    shown = [row for row in rows if (row["optimizer"], row["precision"]) == ("pdadmm", "float32")]
    for place, row in enumerate(shown):
        k = range(1, len(row["objective"]) + 1)
        look = {"color": CYCLE[place], "linestyle": STYLES[place], "label": row["dataset"]}
        line(objective, k, row["objective"], **look)
        line(residual, k, row["primal_residual"], **look)
    highest = max(k * value for row in shown for k, value in enumerate(row["primal_residual"], 1))
    last = len(shown[0]["objective"])
    residual.plot([1, last], [highest, highest / last], color=GREY, linestyle=":", linewidth=1.2, label="1/k")
    for axes, title in ((objective, "objective (Lagrangian)"), (residual, "primal residual Σ‖p − q‖²")):
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_title(title)
        axes.set_xlabel("iteration k")
        axes.legend(fontsize=8, frameon=False, loc="lower left")
    values = shown[0]
    heading(drawn, f"pdadmm, 3 layers × 64, ρ = {values['rho']:g}, ν = {values['nu']:g}, μ = {values['mu']:g}")
    return drawn


def draw() -> None:
    """Write the picture."""
    figure(CONVERGENCE.load()).savefig(PICTURE)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], draw=draw))
