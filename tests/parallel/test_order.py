"""Exchanges that NCCL would carry out: in order, of types that it has, in buffers that nobody else touches.

All cases of a crew go through :mod:`in_order`; its other tests would fail too if an exchange broke these rules.
"""

from __future__ import annotations

import contextlib
import json
import threading
from datetime import timedelta

import pytest
import torch
import torch.distributed as dist
from cases import IN_ONE_LANE, TIMED
from crew import Findings, settings, steps_of
from in_order import InOrder, OutOfOrder
from toy import toy_problem

from pdadmm_bench.core.block import Block
from pdadmm_bench.models import mlp
from pdadmm_bench.optim.admm.pdadmm import PdADMM
from pdadmm_bench.optim.base import Links
from pdadmm_bench.optim.wire import Wire

pytestmark = pytest.mark.dist

SENTENCES = {
    "dlADMM receives first": "the receive of 33×10 torch.float32 from worker 1, by worker 0, meets a receive",
    "codes of 16 bits": "NCCL has no type for the ",
    "a worker sums something else": "meets one of 1 torch.float32 by worker 1",
    "an optimizer forgets a sum": "workers 0 and 1 share the rows of layers 0-4 and hold different weights",
}


@pytest.mark.parametrize("name", SENTENCES)
def test_a_mistake_that_gloo_forgives_is_found(findings: Findings, name: str) -> None:
    """That the other tests do not pass because nothing is checked."""
    row = findings.refused[name].row
    assert row["status"] == "error"
    assert SENTENCES[name] in row["status_reason"]


@pytest.mark.parametrize("name", IN_ONE_LANE)
def test_one_lane_for_all_neighbours_gives_the_same(findings: Findings, name: str) -> None:
    """Slower under NCCL, but no deadlock."""
    many, expected = findings.in_one_lane[name], findings.pairs[name].many
    assert many.row["status"] == "ok", many.row["status_reason"]
    assert steps_of(many.history) == steps_of(expected.history)
    assert many.row["weights_sha256"] == expected.row["weights_sha256"]


@pytest.mark.parametrize("name", TIMED)
def test_measured_iterations_have_times_and_bytes(findings: Findings, name: str) -> None:
    case, values = TIMED[name], findings.timed[name]
    assert values["time_iteration_median_s"] > 0
    assert values["dist_sent_bytes"] > 0
    assert len(json.loads(values["dist_per_worker"])) == case.spec.gpus


def test_the_backend_looks_after_the_buffers() -> None:
    """Between two groups of one process."""
    store = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    limit = timedelta(seconds=6)
    ends = [None, None]
    thread = threading.Thread(target=lambda: ends.__setitem__(1, InOrder(store.clone(), 1, 2, limit)))
    thread.start()
    left = InOrder(store, 0, 2, limit)
    thread.join()
    right = ends[1]

    received, sent = torch.zeros(3), torch.ones(3)
    arriving = right.recv([received], 0)
    assert received.isnan().all()  # nobody may use it before it has arrived
    left.send([sent], 1).wait()
    arriving.wait()
    assert torch.equal(received, sent)

    changed = left.send([sent], 1)
    sent[0] = 2.0
    right.recv([received], 0).wait()
    with pytest.raises(OutOfOrder, match="the buffer was changed during the send of 3 "):
        changed.wait()
    with pytest.raises(OutOfOrder, match="NCCL has no type for the send of 3 "):
        left.send([torch.ones(3, dtype=torch.int16)], 1)


class Recorded:
    """A left neighbour that notes when it is used; its tensors are always the same."""

    def __init__(self, tensor: torch.Tensor, events: list[str]):
        self.wire, self.tensor, self.events = Wire(), tensor, events

    def send(self, tensor: torch.Tensor) -> None:
        self.events.append("send")

    def post_receive(self) -> None:
        self.events.append("post_receive")

    def receive(self) -> torch.Tensor:
        return self.tensor

    def receive_now(self, rows: int) -> torch.Tensor:
        return self.tensor


def test_pdadmm_posts_its_receive_before_the_layers_between() -> None:
    """A device starts a receive only when all work that was issued before it is done."""
    events: list[str] = []
    optimizer = PdADMM.create({}, "pdadmm")
    optimizer.part = lambda name: contextlib.nullcontext(events.append(name))
    model, block = settings(layers=6, hidden=5).model, Block(2, 6, 6)
    layers = mlp.initial_layers(model, [5] * 7, 0, block)
    left = Recorded(torch.rand(7, 5), events)
    state = optimizer.init(toy_problem(rows=7, classes=5), layers, block, Links(left=left))
    optimizer.step(state)
    assert events.index("post_receive") == events.index("send") + 1
    assert events.index("post_receive") < events.index("z, q, u")
    assert events.index("post_receive") < events.index("W")
