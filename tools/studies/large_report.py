"""How long does the page of a large report take? 1,000 made-up rows: 20 datasets, five optimizers, two depths.

    python tools/studies/large_report.py reports/studies/large-report.json page.html

Keeps the processor seconds of the tables, the pictures and the page, and its size.
"""

from __future__ import annotations

import random
import sys
from pathlib import Path
from time import process_time

from kept import keep

from pdadmm_bench.core.rows import Row, first_values, make_row
from pdadmm_bench.core.spec import run_spec
from pdadmm_bench.report.assemble import assemble, pictures
from pdadmm_bench.report.page import page

OPTIMIZERS = ("pdadmm", "pdadmm-q", "adam", "adadelta", "sgd")


def rows() -> list[Row]:
    """Rows as runs make them, with accuracies and seconds that are drawn."""
    draw, made = random.Random(0), []
    for place in range(1000):
        optimizer, depth = place % 5, (2, 10)[place // 5 % 2]
        dataset, seed = f"sbm[seed={place // 10 % 20}]", place // 200
        settings = {"dataset": dataset, "optimizer": OPTIMIZERS[optimizer], "layers": depth, "seed": seed}
        results = {
            "status": "ok",
            "dist_device": "cpu",
            "dataset_val_count": 500,
            "acc_val_best": 0.7,
            "acc_test_at_best_val": 0.7 + 0.01 * optimizer + draw.gauss(0, 0.01),
            "iterations": 100,
            "time_iteration_median_s": 0.01 * (1 + optimizer) * (1 + draw.gauss(0, 0.02)),
            "time_train_s": 1.0,
            "time_to_near_best_s": 0.5 * (1 + draw.random()),
        }
        made.append(make_row({**first_values(run_spec(settings)), **results}))
    return made


def main(path: str, out: Path) -> None:
    """Write the page, and keep what it took."""
    made = rows()
    began = process_time()
    report = assemble(made, [])
    tables = process_time()
    drawn = pictures(made, {}, report.points)
    painted = process_time()
    out.write_text(page("1,000 rows", made, report, drawn, []), encoding="utf-8")
    took = {"tables_s": tables - began, "pictures_s": painted - tables, "page_s": process_time() - painted}
    keep(path, [{"rows": len(made), **took, "page_bytes": out.stat().st_size}])


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
