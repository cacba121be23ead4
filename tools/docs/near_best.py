"""The table of seconds to 99 % of the best validation accuracy in docs/accuracy.md, from ``reports/accuracy``.

    python tools/docs/near_best.py            # writes it
    python tools/docs/near_best.py --check    # fails where the page has other numbers than the rows

Training seconds of the ten-layer runs from the common start, the warm start's included: median over seeds and splits.
"""

from __future__ import annotations

import sys
from statistics import median

from headline import TABLE as HEADLINE
from headline import deep
from marked import ROOT, Marked, main, markdown

from pdadmm_bench.core.rows import Row

TABLE = Marked("near-best", HEADLINE.rows, (ROOT / "docs" / "accuracy.md",))


def table(rows: list[Row]) -> str:
    """In Markdown: optimizers down, graphs across."""
    found: dict[tuple[str, str], list[float]] = {}
    for row in deep(rows):
        if row["time_to_near_best_s"] is not None:
            found.setdefault((row["optimizer_name"], row["dataset_name"]), []).append(row["time_to_near_best_s"])
    datasets = sorted({dataset for _, dataset in found})
    lines = []
    for optimizer in dict.fromkeys(optimizer for optimizer, _ in found):
        seconds = [found.get((optimizer, dataset)) for dataset in datasets]
        lines.append(
            [optimizer, *(f"{median(values):.1f} s (n={len(values)})" if values else "–" for values in seconds)]
        )
    return markdown(["optimizer", *datasets], lines)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], (TABLE, table)))
