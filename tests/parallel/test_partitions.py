"""The result of an ADMM run does not depend on how the layers are split: it is the same to the bit."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from cases import CONTINUED, DELAYED, EQUAL, EVERY, OTHERS, REAL, SCHEDULED, name_of
from crew import STOPPED_AT, Case, Findings, Pair, steps_of
from toy import toy_problem

from pdadmm_bench.core.block import Block
from pdadmm_bench.models import mlp

pytestmark = pytest.mark.dist


def assert_identical(pair: Pair, case: Case) -> None:
    assert (pair.many.row["status"], pair.one.row["status"]) == ("ok", "ok"), pair.many.row["status_reason"]
    assert pair.many.row["dist_workers"] == case.spec.gpus
    assert pair.many.row["dist_partition"] == case.spec.partition
    assert len(pair.many.history) == case.spec.iterations + 1
    assert steps_of(pair.many.history) == steps_of(pair.one.history)
    for name in ("weights_sha256", "weights_initial_sha256", "acc_test_final", "loss_test_final"):
        assert pair.many.row[name] == pair.one.row[name], name
    assert pair.many.row["weights_sha256"] != pair.many.row["weights_initial_sha256"]


@pytest.mark.parametrize("case", [*EVERY, *OTHERS, *DELAYED], ids=name_of)
def test_identical(findings: Findings, case: Case) -> None:
    assert_identical(findings.pairs[f"toy {name_of(case)}"], case)


@pytest.mark.parametrize("case", REAL, ids=name_of)
def test_identical_on_real_data(findings: Findings, case: Case, real_data: Path) -> None:
    assert_identical(findings.pairs[f"pubmed {name_of(case)}"], case)


def test_the_whole_trajectory_was_compared(findings: Findings) -> None:
    """That the other tests do not pass because there is nothing to compare."""
    history = findings.pairs["toy pdadmm auto 2,3"].many.history
    assert all({"objective", "primal_residual", "dual_residual", "loss"} <= set(step) for step in history[1:])
    assert len({step["objective"] for step in history[1:]}) == len(history) - 1
    assert all(step["primal_residual"] > 0 for step in history[2:])


def test_the_schedule_of_the_penalties_was_used(findings: Findings) -> None:
    """It decides by the cost of the whole network, which every worker has to know."""
    scheduled, constant = (
        findings.pairs[f"toy {name_of(case)}"].many for case in OTHERS if set(SCHEDULED) <= set(case.spec.set)
    )
    assert scheduled.row["weights_sha256"] != constant.row["weights_sha256"]


@pytest.mark.parametrize(
    ("name", "bytes_per_number"),
    [
        ("pdadmm auto 2,3", 4),
        ("pdadmm auto 1,1,2,1", 4),
        ("pdadmm bf16 2,2,1,2", 2),
        ("ddg auto 2,5 blocks=4 lr=0.01", 4),
        ("fdg auto 4,2,1 blocks=4 lr=0.01", 4),
        ("pdadmm-q auto 1,1,1,4", 1),
        ("pdadmm-q auto 5,1,1 levels=1000 low=-2 high=2", 2),
    ],
)
def test_bytes_are_counted_as_sent(findings: Findings, name: str, bytes_per_number: int) -> None:
    """One tensor (N, n) each way per boundary and iteration."""
    row = findings.pairs[f"toy {name}"].many.row
    workers = json.loads(row["dist_per_worker"])
    tensor = 33 * 10 * bytes_per_number
    neighbours = [1 if worker["rank"] in (0, len(workers) - 1) else 2 for worker in workers]
    assert [worker["sent_bytes"] for worker in workers] == [count * tensor for count in neighbours]
    assert [worker["received_bytes"] for worker in workers] == [count * tensor for count in neighbours]
    assert row["dist_sent_bytes"] == 2 * (len(workers) - 1) * tensor


def test_batches_of_layers_change_results_by_rounding_only(findings: Findings) -> None:
    pair = findings.pairs["batched"]
    for many, one in zip(pair.many.history, pair.one.history, strict=True):
        assert all(many[name] == pytest.approx(one[name], rel=1e-4, abs=1e-7) for name in steps_of([one])[0])


def test_half_of_the_layers_take_half_of_the_memory(findings: Findings) -> None:
    pair = findings.pairs[f"square {name_of(EQUAL)}"]
    share = pair.many.row["memory_state_bytes"] / pair.one.row["memory_state_bytes"]
    assert 0.45 <= share <= 0.6
    parameters = [worker["parameters"] for worker in json.loads(pair.many.row["dist_per_worker"])]
    assert sum(parameters) == pair.one.row["model_parameters"]


def test_times_of_the_workers_add_up(findings: Findings) -> None:
    row = findings.pairs["toy pdadmm auto 2,1,2"].many.row
    for worker in json.loads(row["dist_per_worker"]):
        assert all(worker[key] >= 0 for key in ("compute_s", "exposed_s", "overlapped_s", "idle_s"))
        assert worker["compute_s"] <= row["time_iteration_p95_s"]
    assert 0 <= row["time_exposed_share"] <= 1


def test_predicting_with_the_trained_layers_needs_no_process_group(findings: Findings) -> None:
    """And gives the accuracy that was measured through the blocks."""
    assert not dist.is_initialized()
    outcome, problem = findings.pairs["toy pdadmm auto 1,2,1,1"].many, toy_problem()
    assert len(outcome.layers) == 5
    logits = mlp.forward(outcome.layers, problem.test.x, Block.whole(5))
    assert float((logits.argmax(1) == problem.test.y).double().mean()) == outcome.row["acc_test_final"]
    loss = float(torch.nn.functional.cross_entropy(logits, problem.test.y))
    assert math.isclose(loss, outcome.row["loss_test_final"], rel_tol=1e-6)


@pytest.mark.parametrize("name", CONTINUED)
def test_a_stopped_run_goes_on_to_the_same_bits(findings: Findings, name: str) -> None:
    """Of several workers, each with a part of the checkpoint, and with what was on its way between them."""
    whole, continued = findings.pairs[name].many, findings.continued[name]
    assert (continued.row["status"], continued.row["env_continued_from"]) == ("ok", STOPPED_AT)
    assert steps_of(continued.history) == steps_of(whole.history)
    assert continued.row["weights_sha256"] == whole.row["weights_sha256"]
    assert continued.row["acc_test_final"] == whole.row["acc_test_final"]


def test_any_partition_of_any_network(findings: Findings) -> None:
    """What :mod:`properties` found, in the same workers."""
    assert findings.counterexample is None, findings.counterexample
    assert findings.examples >= 24
