"""Adam over rows: this suite's sums beside torch's DistributedDataParallel, in turn in the same two workers.

    python tools/studies/ddp.py --rows 4000 --hidden 1024 --layers 16 --repeats 9

Both have the same shapes, one thread for each worker, a loss over the rows of both workers, and Adam; for DDP
it is torch's fused one. A ratio below 1 says that the suite's own sums are faster.
"""

from __future__ import annotations

from typing import Annotated

import typer
from ddp_worker import TIMEOUT, work

from pdadmm_bench.core.spec import run_spec
from pdadmm_bench.parallel.launch import launch
from pdadmm_bench.timing.samples import interval


def main(
    rows: Annotated[int, typer.Option()] = 4000, hidden: Annotated[int, typer.Option()] = 1024,
    layers: Annotated[int, typer.Option()] = 16, repeats: Annotated[int, typer.Option()] = 9,
    iterations: Annotated[int, typer.Option()] = 3,
) -> None:  # fmt: skip
    """Print the ratios of the suite's seconds to those of DDP, with 95 % intervals."""
    settings = {"optimizer": "adam", "layers": layers, "hidden": hidden, "gpus": 2, "mesh": "rows", "threads": 1}
    spec = run_spec({**settings, "dataset": "sbm", "warm_start": "none", "device": "cpu"})
    lines = launch(2, work, spec, rows, repeats, iterations, patience=TIMEOUT)
    for name in lines[0]:
        middle, low, high = interval([line[name] for line in lines])
        print(f"{name}: {middle:.3f} s [{low:.3f}, {high:.3f}]")
    for name in list(lines[0])[1:]:
        middle, low, high = interval([line["ours"] / line[name] for line in lines])
        print(f"ours / {name}: {middle:.3f} [{low:.3f}, {high:.3f}]")


if __name__ == "__main__":
    typer.run(main)
