"""Pipelined backpropagation follows the trajectory of one worker, whatever the micro-batches."""

from __future__ import annotations

import json

import pytest
import torch
from cases import GRADIENT, name_of_gradient
from crew import Case, Findings

from pdadmm_bench.parallel.cost import microbatches_for

pytestmark = pytest.mark.dist

ROWS, HIDDEN = 33, 10
TOLERANCE = {"fp32": 1e-5, "bf16": 1e-2}
"""Of the starting loss and of a layer's norm. In bf16 the weight gradients of a micro-batch are rounded to eight bits
before they are added to the others."""
BYTES = {"fp32": 4, "bf16": 2}


@pytest.mark.parametrize("case", GRADIENT, ids=name_of_gradient)
def test_the_trajectory_is_that_of_one_worker(findings: Findings, case: Case) -> None:
    pair = findings.pairs[name_of_gradient(case)]
    many, one = pair.many, pair.one
    tolerance, start = TOLERANCE[case.spec.precision], one.history[0]["loss_train"]
    assert (many.row["status"], one.row["status"]) == ("ok", "ok"), many.row["status_reason"]
    assert many.row["weights_initial_sha256"] == one.row["weights_initial_sha256"]
    assert len(many.history) == len(one.history) == case.spec.iterations + 1
    for ours, theirs in zip(many.history, one.history, strict=True):
        assert ours.keys() == theirs.keys()
        for name in {"loss", "objective", "loss_train", "loss_val", "loss_test"} & ours.keys():
            assert ours[name] == pytest.approx(theirs[name], abs=tolerance * start), (ours["iteration"], name)
    assert one.history[-1]["loss_train"] < 0.9 * one.history[0]["loss_train"]
    for ours, theirs in zip(many.layers, one.layers, strict=True):
        expected = torch.cat([tensor.flatten() for tensor in theirs])
        apart = torch.cat([tensor.flatten() for tensor in ours]) - expected
        assert apart.norm() <= tolerance * expected.norm()


@pytest.mark.parametrize("case", GRADIENT, ids=name_of_gradient)
def test_bytes_are_counted_as_sent(findings: Findings, case: Case) -> None:
    """Activations forward and their gradients backward, padding rows included."""
    row = findings.pairs[name_of_gradient(case)].many.row
    workers = case.spec.gpus
    microbatches = row["dist_microbatches"]
    assert microbatches == (case.spec.microbatches or microbatches_for(workers))
    padded = ROWS + -ROWS % microbatches
    tensor = padded * HIDDEN * BYTES[case.spec.precision]
    assert row["dist_wire"] == case.spec.precision
    assert row["dist_schedule"] == case.spec.schedule
    assert row["dist_sent_bytes"] == 2 * (workers - 1) * tensor
    ends = (0, workers - 1)
    for worker in json.loads(row["dist_per_worker"]):
        count = 1 if worker["rank"] in ends else 2
        assert (worker["sent_bytes"], worker["received_bytes"]) == (count * tensor, count * tensor)
