"""Times on a device whose stream waits and whose process does not, as under NCCL."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
import torch.distributed as dist
from fake_device import FakeDevice, FakeTransfer

from pdadmm_bench.core.errors import Unreachable
from pdadmm_bench.optim.wire import Wire
from pdadmm_bench.parallel.exchange import Neighbour, Traffic

LATE_S, COMPUTE_S = 7.0, 2.0


@pytest.fixture
def device() -> FakeDevice:
    return FakeDevice()


@pytest.fixture
def neighbour(device: FakeDevice, monkeypatch: pytest.MonkeyPatch) -> Callable[[float], Neighbour]:
    """``neighbour(arrives)``: its tensors arrive at that second; what is sent to it is taken at once."""

    def make(arrives: float) -> Neighbour:
        monkeypatch.setattr(dist, "irecv", lambda *args: FakeTransfer(device, arrives))
        monkeypatch.setattr(dist, "isend", lambda *args: FakeTransfer(device))
        return Neighbour(1, (3, 2), Wire(), torch.device("cpu"), Traffic(device.clock()))

    return make


def test_a_neighbour_that_sleeps_is_exposed_time(device: FakeDevice, neighbour: Callable[[float], Neighbour]) -> None:
    """The process itself waits for nothing, so its own clock would show no waiting."""
    other = neighbour(LATE_S)
    other.post_receive()
    device.compute(COMPUTE_S)
    before = device.now
    other.receive()
    assert device.now == before
    device.compute(1.0)
    other.traffic.clock.finish()
    taken = other.traffic.take()
    assert taken["exposed_s"] == pytest.approx(LATE_S - COMPUTE_S)
    assert taken["received_bytes"] == 24
    assert other.traffic.take() == {"sent_bytes": 0, "received_bytes": 0, "reduced_bytes": 0, "exposed_s": 0}


def test_a_transfer_behind_computing_is_not_exposed(
    device: FakeDevice, neighbour: Callable[[float], Neighbour]
) -> None:
    other = neighbour(1.0)
    other.post_receive()
    device.compute(COMPUTE_S)
    other.receive()
    other.send(torch.zeros(3, 2))
    other.send(torch.zeros(3, 2))
    other.traffic.clock.finish()
    assert other.traffic.take()["exposed_s"] == 0


def test_a_pipeline_waits_where_it_does_not_compute(device: FakeDevice) -> None:
    traffic = Traffic(device.clock())
    with traffic.waiting():
        for arrives in (3.0, 4.0):
            FakeTransfer(device, arrives).wait()
            with traffic.computing():
                device.compute(COMPUTE_S)
    traffic.clock.finish()
    assert traffic.take()["exposed_s"] == pytest.approx(3.0)


def test_the_rate_of_a_link_is_that_of_the_device(
    device: FakeDevice, neighbour: Callable[[float], Neighbour], monkeypatch: pytest.MonkeyPatch
) -> None:
    other, per_way = neighbour(0.0), 0.5
    monkeypatch.setattr(dist, "send", lambda *args: device.compute(per_way))
    monkeypatch.setattr(dist, "recv", lambda *args: device.compute(per_way))
    assert other.measure(rows=5, starts=True) == pytest.approx(per_way / (5 * 2 * 4), rel=0.01)


def test_a_stalled_exchange_is_found_in_time(device: FakeDevice) -> None:
    clock, limit = device.clock(limit_s=5.0), 5.0
    FakeTransfer(device, math.inf).wait()
    with pytest.raises(Unreachable, match="Timed out waiting 5000ms for the device"):
        clock.finish()
    assert limit < device.now < limit + 0.5


def test_long_work_without_neighbours_is_waited_for(device: FakeDevice) -> None:
    device.compute(100.0)
    device.clock().finish()
    assert device.now >= 100.0
