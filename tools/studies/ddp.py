"""Adam over rows: this suite's sums beside torch's DistributedDataParallel, in turn in the same two workers.

    python tools/studies/ddp.py reports/studies/ddp.json

Both have the same shapes, one thread for each worker, a loss over the rows of both workers, and Adam; for DDP
it is torch's fused one. Kept are the seconds of an iteration, in every repetition.
"""

from __future__ import annotations

import sys

from ddp_worker import TIMEOUT, work
from kept import keep

from pdadmm_bench.core.spec import run_spec
from pdadmm_bench.parallel.launch import launch

ROWS, REPEATS, ITERATIONS = 4000, 9, 3
NETWORK = {"layers": 16, "hidden": 1024}


def main(path: str) -> None:
    """Measure both."""
    settings = {"optimizer": "adam", "gpus": 2, "mesh": "rows", "threads": 1, "warm_start": "none", "device": "cpu"}
    spec = run_spec({"dataset": "sbm", **settings, **NETWORK})
    lines = launch(2, work, spec, ROWS, REPEATS, ITERATIONS, patience=TIMEOUT)
    keep(path, [{"rows": ROWS, **NETWORK, **line} for line in lines])


if __name__ == "__main__":
    main(sys.argv[1])
