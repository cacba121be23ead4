"""Who holds what: the block of each worker, the part of the problem it needs, and the record of what it did."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

from pdadmm_bench.core.block import Block
from pdadmm_bench.core.spec import ModelSpec, RunSpec
from pdadmm_bench.data.problem import Problem, Rows
from pdadmm_bench.models import mlp
from pdadmm_bench.parallel.cost import (
    GENERIC,
    PROFILES,
    Machine,
    Profile,
    layer_costs,
    microbatches_for,
    predict_iteration,
)
from pdadmm_bench.parallel.partition import partition


@dataclass(frozen=True)
class Shell:
    """A problem without its features: what workers that do not hold the first layer need to know of it."""

    problem: Problem
    sizes: list[int]
    rows: int


def shell(problem: Problem, model: ModelSpec) -> Shell:
    """The shell of ``problem`` for the network ``model``."""
    bare: dict[str, Any] = {
        name: Rows(x=rows.x.new_empty(len(rows.x), 0), y=rows.y) for name, rows in problem.parts().items()
    }
    sizes = mlp.widths(model, problem.num_features, problem.num_classes)
    return Shell(replace(problem, **bare), sizes, len(problem.train.x))


def share(problem: Problem, block: Block) -> Problem:
    """The part of ``problem`` that ``block`` needs: x with the first layer, y with the last."""
    parts: dict[str, Any] = {}
    for name, rows in problem.parts().items():
        x = rows.x if block.is_first else rows.x.new_empty(len(rows.x), 0)
        parts[name] = Rows(x=x, y=rows.y if block.is_last else rows.y.new_empty(0))
    return replace(problem, **parts)


def blocks(spec: RunSpec, sizes: Sequence[int], rows: int, workers: int) -> list[Block]:
    """The block of each worker under ``spec.partition``."""
    if workers == 1:
        return [Block.whole(len(sizes) - 1)]
    return partition(spec.partition, layer_costs(profile_of(spec), sizes, rows), workers)


def planned_bytes(spec: RunSpec, sizes: Sequence[int], rows: int, block: Block) -> int:
    """State memory of the worker of ``block`` by the cost model, message buffers included: what ``--dry-run`` shows."""
    profile, everyone = profile_of(spec), blocks(spec, sizes, rows, spec.gpus)
    prediction = predict_iteration(
        profile,
        sizes,
        rows,
        everyone,
        Machine(1.0, 1.0, 1.0, 0.0),  # memory is the same on every machine
        wire=profile.wire if spec.wire == "auto" else spec.wire,
        schedule=spec.schedule,
        microbatches=spec.microbatches or microbatches_for(spec.gpus),
    )
    return prediction.workers[everyone.index(block)].state_bytes


def profile_of(spec: RunSpec) -> Profile:
    """The cost profile of the spec's optimizer."""
    return PROFILES.get(spec.optimizer, GENERIC)


@dataclass(frozen=True)
class Work:
    """One worker's iteration: its length, the part of it spent waiting, and the bytes it moved."""

    seconds: float
    exposed_s: float = 0.0
    sent_bytes: float = 0
    received_bytes: float = 0


def summarise_work(workers: Sequence[dict[str, Any]], work: Sequence[Sequence[Work]]) -> dict[str, Any]:
    """Row values from what each worker is and what each did in every iteration.

    Per worker, medians over iterations of: ``compute_s``; ``exposed_s``, waiting for a neighbour; ``idle_s``, done
    before the slowest worker; ``overlapped_s``, the part of its transfers (bytes at the measured link rate) that hid
    behind computing; bytes sent and received.
    """
    details = []
    for rank, worker in enumerate(workers):
        mine = [iteration[rank] for iteration in work] or [Work(0.0)]
        slowest = [max(worker.seconds for worker in iteration) for iteration in work] or [0.0]
        transfers = [(w.sent_bytes + w.received_bytes) * worker["link_seconds_per_byte"] for w in mine]
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
            }
        )
    iteration_s = median(max(w.seconds for w in iteration) for iteration in work) if work else None
    exposed = max(worker["exposed_s"] for worker in details)
    return {
        "dist_per_worker": json.dumps(details),
        "dist_sent_bytes": sum(worker["sent_bytes"] for worker in details),
        "time_compute_s": max(worker["compute_s"] for worker in details),
        "time_exposed_s": exposed,
        "time_exposed_share": exposed / iteration_s if iteration_s else None,
        "memory_state_bytes": max(worker["state_bytes"] for worker in details),
        "memory_peak_bytes": max(worker["peak_bytes"] for worker in details),
        "weights_sha256": mlp.combine([digest for worker in workers for digest in worker["digests"]]),
    }
