"""What each worker of ddp.py does: measure an iteration of this suite, and one of DistributedDataParallel, in turn."""

from __future__ import annotations

import os
import time
from datetime import timedelta
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.nn.parallel import DistributedDataParallel

from pdadmm_bench.core.spec import RunSpec
from pdadmm_bench.parallel.group import Workers, joined
from pdadmm_bench.timing.generated import generated_problem
from pdadmm_bench.training.run import time_iterations

TIMEOUT, CLASSES, BUCKETS_MB = 300.0, 40, (1, 5, 25)


class Replica:
    """A network wrapped in DDP, with the rows of this worker."""

    def __init__(self, x: Tensor, y: Tensor, hidden: int, layers: int, bucket_mb: int):
        widths = [x.shape[1], *[hidden] * (layers - 1), CLASSES]
        parts: list[nn.Module] = []
        for place, shape in enumerate(pairwise(widths)):
            parts += [nn.Linear(*shape), *([nn.ReLU(inplace=True)] if place < layers - 1 else [])]
        self.x, self.y = x, y
        self.network = DistributedDataParallel(
            nn.Sequential(*parts), bucket_cap_mb=bucket_mb, gradient_as_bucket_view=True, static_graph=True
        )
        self.adam = torch.optim.Adam(self.network.parameters(), lr=1e-3, fused=True)

    def iterate(self) -> None:
        """One full-batch step."""
        self.adam.zero_grad()
        cross_entropy(self.network(self.x), self.y).backward()
        self.adam.step()

    def seconds(self, iterations: int) -> float:
        """The median of the iterations' seconds, each that of the slowest worker."""
        found = []
        for _ in range(iterations):
            torch.distributed.barrier()
            begin = time.perf_counter()
            self.iterate()
            spent = torch.tensor(time.perf_counter() - begin)
            torch.distributed.all_reduce(spent, torch.distributed.ReduceOp.MAX)
            found.append(float(spent))
        return float(torch.tensor(found).median())


def work(spec: RunSpec, rows: int, repeats: int, iterations: int) -> list[dict[str, float]]:
    """Measure both as one worker; worker 0 returns a line for each repetition."""
    problem = generated_problem(rows, spec.model.hidden, CLASSES)
    mine = slice(rows // 2) if os.environ["RANK"] == "0" else slice(rows // 2, rows)
    torch.set_num_threads(1)
    lines = []
    with joined("cpu", TIMEOUT) as everyone:
        group = Workers(2, timedelta(seconds=TIMEOUT))
        group.form(*(spec.axes() or (1, 1)))
        x, y = problem.train.x[mine].clone(), problem.train.y[mine].clone()
        replicas = {mb: Replica(x, y, spec.model.hidden, spec.model.layers, mb) for mb in BUCKETS_MB}
        for replica in replicas.values():
            replica.seconds(1)  # DDP orders its buckets in the first iteration
        for _ in range(repeats):
            ours = time_iterations(spec, problem if everyone.rank == 0 else None, group, iterations)
            line = {f"ddp, {mb} MB": replica.seconds(iterations) for mb, replica in replicas.items()}
            if ours is not None:
                lines.append({"ours": ours["time_iteration_median_s"], **line})
                print(" ".join(f"{name} {value:.3f} s" for name, value in lines[-1].items()), flush=True)
    return lines
