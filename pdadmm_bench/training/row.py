"""The row values of a run: those known before training, those from its iterations, and its status."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np
import torch

from pdadmm_bench.core import quiet
from pdadmm_bench.core.rows import NEAR_BEST, first_values
from pdadmm_bench.core.selftests import passed_version
from pdadmm_bench.data.cache import cache_folder
from pdadmm_bench.data.problem import Problem
from pdadmm_bench.models import mlp
from pdadmm_bench.training.setup import ResolvedRun

Step = dict[str, float]
"""The values of one iteration: ``iteration``, ``iteration_seconds``, ``train_seconds`` (cumulative), the report of the
optimizer summed over layers, and on evaluated iterations ``acc_*`` and ``loss_*`` of train, val and test."""

PARTS = ("train", "val", "test")
TIMES = ("time_iteration_median_s", "time_iteration_p5_s", "time_iteration_p95_s")


def results_from(history: Sequence[Step], target: float | None, seconds: Mapping[str, float]) -> dict[str, Any]:
    """Row values from the steps of a run, complete or not; ``seconds`` are the clock's accumulators."""
    steps = [step for step in history if step["iteration"] > 0]
    evaluated = [step for step in steps if "acc_val" in step]
    best = max(evaluated, key=lambda step: step["acc_val"], default={})

    def first(accuracy: float | None) -> Step:
        reached = (step for step in evaluated if accuracy is not None and step["acc_val"] >= accuracy)
        return next(reached, {})

    hit, near = first(target), first(NEAR_BEST * best["acc_val"] if best else None)
    final = evaluated[-1] if evaluated else {}
    times = [step["iteration_seconds"] for step in steps]
    quantiles = np.quantile(times, [0.5, 0.05, 0.95]).tolist() if times else [None] * 3
    return {
        **{f"{kind}_{part}_final": final.get(f"{kind}_{part}") for kind in ("acc", "loss") for part in PARTS},
        "acc_val_best": best.get("acc_val"),
        "acc_test_at_best_val": best.get("acc_test"),
        "acc_best_iteration": best.get("iteration"),
        **_roc_auc(evaluated),
        "iterations": len(steps),
        **dict(zip(TIMES, quantiles, strict=True)),
        "time_train_s": steps[-1]["train_seconds"] if steps else 0.0,
        "time_evaluate_s": seconds.get("evaluate", 0.0),
        "time_log_s": seconds.get("log", 0.0),
        "time_to_target_s": hit.get("train_seconds"),
        "time_to_target_iterations": hit.get("iteration"),
        "time_to_near_best_s": near.get("train_seconds"),
        "time_target_accuracy": target,
    }


def _roc_auc(evaluated: Sequence[Step]) -> dict[str, float]:
    """The best validation ROC AUC and the test ROC AUC there, of problems of two classes whose rows are not split."""
    known = [step for step in evaluated if {"acc_roc_auc_val", "acc_roc_auc_test"} <= step.keys()]
    if not known:
        return {}
    best = max(known, key=lambda step: step["acc_roc_auc_val"])
    return {"acc_roc_auc_val_best": best["acc_roc_auc_val"], "acc_roc_auc_test_at_best_val": best["acc_roc_auc_test"]}


@dataclass(frozen=True)
class WorkerIteration:
    """One worker's iteration: its seconds, the seconds of it spent waiting, and the bytes sent and received.

    ``reduced_bytes`` are those of sums over rows, of which a worker sends as many as it receives; the others are those
    exchanged with neighbours along the layers.
    """

    seconds: float
    exposed_s: float = 0.0
    sent_bytes: float = 0
    received_bytes: float = 0
    reduced_bytes: float = 0


def summarise_iterations(
    workers: Sequence[Mapping[str, Any]], iterations: Sequence[Sequence[WorkerIteration]], rows: int = 1
) -> dict[str, Any]:
    """Row values from the facts of each worker (:meth:`~.worker.Worker.facts`) and from its iterations.

    Per worker, medians over iterations of: ``compute_s``; ``exposed_s``, waiting for a neighbour; ``idle_s``, waiting
    for the slowest worker at the end; ``overlapped_s``, the part of its transfers (bytes at the measured link rate)
    that overlapped with computing; bytes sent and received. Where ``rows`` workers share the rows of a block, also the
    rows, and bytes of sums over them.
    """
    details = []
    for rank, worker in enumerate(workers):
        mine = [iteration[rank] for iteration in iterations] or [WorkerIteration(0.0)]
        slowest = [max(worker.seconds for worker in iteration) for iteration in iterations] or [0.0]
        transfers = [
            (w.sent_bytes + w.received_bytes) * worker["link_seconds_per_byte"]
            + w.reduced_bytes * worker["reduction_seconds_per_byte"]
            for w in mine
        ]
        over_rows = {"rows": worker["rows"], "reduced_bytes": int(median(w.reduced_bytes for w in mine))}
        details.append(
            {
                "rank": rank,
                **{key: worker[key] for key in ("layers", "parameters", "state_bytes", "peak_bytes")},
                "compute_s": median(w.seconds - w.exposed_s for w in mine),
                "exposed_s": median(w.exposed_s for w in mine),
                "overlapped_s": median(max(0.0, t - w.exposed_s) for t, w in zip(transfers, mine, strict=True)),
                "idle_s": median(longest - w.seconds for longest, w in zip(slowest, mine, strict=True)),
                "sent_bytes": int(median(w.sent_bytes for w in mine)),
                "received_bytes": int(median(w.received_bytes for w in mine)),
                **(over_rows if rows > 1 else {}),
            }
        )
    iteration_s = median(max(w.seconds for w in iteration) for iteration in iterations) if iterations else None
    exposed = max(worker["exposed_s"] for worker in details)
    return {
        "dist_per_worker": json.dumps(details),
        "dist_sent_bytes": sum(worker["sent_bytes"] for worker in details),
        **({"dist_reduced_bytes": sum(worker["reduced_bytes"] for worker in details)} if rows > 1 else {}),
        "time_compute_s": max(worker["compute_s"] for worker in details),
        "time_exposed_s": exposed,
        "time_exposed_share": exposed / iteration_s if iteration_s else None,
        "memory_state_bytes": max(worker["state_bytes"] for worker in details),
        "memory_peak_bytes": max(worker["peak_bytes"] for worker in details),
        "weights_sha256": mlp.combine([digest for worker in workers[::rows] for digest in worker["digests"]]),
    }


def unequal_replicas(workers: Sequence[Mapping[str, Any]], rows: int) -> str | None:
    """Why the weights of a run are of no one network: ``rows`` workers of a column of the mesh hold different ones.

    Each of them computes the weights from the same sums. They differ where an optimizer forgets a sum, or where the
    machines round differently. None where they are the same.
    """
    for rank, worker in enumerate(workers):
        first = rank - rank % rows
        if worker["digests"] != workers[first]["digests"]:
            return (
                f"workers {first} and {rank} share the rows of layers {worker['layers']} and hold different weights of "
                "them: an optimizer that splits rows takes every sum over rows from links.reduce, and all workers need "
                "the same kind of machine"
            )
    return None


def known_values(resolved: ResolvedRun, problem: Problem) -> dict[str, Any]:
    """Row values that are known before training.

    Args:
        problem: the problem, or any worker's part of it.
    """
    spec, optimizer = resolved.spec, resolved.optimizer
    assert resolved.shape is not None and resolved.layout is not None
    return {
        **first_values(spec),
        **problem.facts,
        "dataset_name": problem.name,
        "dataset_split": problem.split,
        "dataset_sha256": problem.sha256,
        **{f"optimizer_{name}": value for name, value in optimizer.hyperparameters.model_dump().items()},
        "optimizer_compiled": optimizer.compile,
        "model_parameters": mlp.num_parameters(resolved.shape.widths),
        "env_quiet": quiet.kept(cache_folder()),
        "dist_workers": resolved.layout.workers,
        "dist_device": resolved.device.type,
        "dist_threads": resolved.threads,
        "dist_partition": resolved.layout.partition,
        **({"dist_mesh": resolved.layout.mesh} if resolved.layout.rows > 1 else {}),
        "dist_schedule": resolved.layout.schedule,
        **({"env_selftest": passed_version(cache_folder(), "cuda")} if resolved.device.type == "cuda" else {}),
        "dist_wire": None if resolved.unsupported else optimizer.wire(spec.wire).name,
    }


class Stop(Exception):
    """The run is over before its last iteration: (status, reason)."""


OUT_OF_MEMORY = (
    "out of memory",
    "outofmemory",
    "can't allocate memory",
    "cannot allocate memory",
    "_status_alloc_failed",
)
"""What errors say when memory ran out: of CUDA in any of its libraries (cuBLAS, NCCL), of the CPU, of the system."""


def failed(error: BaseException) -> str:
    """``oom`` for memory that ran out, on any device; ``error`` for the rest."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return "oom"
    return failed_with(f"{type(error).__name__}: {error}")


def failed_with(text: str) -> str:
    """As :func:`failed`, by the text of an error of another process."""
    return "oom" if any(words in text.lower() for words in OUT_OF_MEMORY) else "error"
