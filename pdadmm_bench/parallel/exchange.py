"""Boundary tensors between neighbours: non-blocking, into preallocated buffers, counted and timed.

A :class:`Neighbour` is what an optimizer knows as a :class:`~pdadmm_bench.optim.base.Link`. Every send is matched by
one ``expect``, posted before it is needed, so that a transfer runs while the worker computes; time spent in
``receive`` or waiting for a send buffer is exposed communication.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import torch
import torch.distributed as dist
from torch import Tensor

from pdadmm_bench.optim.wire import Wire


@dataclass
class Traffic:
    """What a worker sent, received and waited for since the last :meth:`take`."""

    sent_bytes: int = 0
    received_bytes: int = 0
    waited_s: float = 0.0

    def take(self) -> dict[str, float]:
        """The counts, which start again from zero."""
        values = {"sent_bytes": self.sent_bytes, "received_bytes": self.received_bytes, "exposed_s": self.waited_s}
        self.sent_bytes = self.received_bytes = 0
        self.waited_s = 0.0
        return values


@dataclass
class Neighbour:
    """The worker ``peer``, with which tensors of ``shape`` (rows, units) are exchanged."""

    peer: int
    shape: tuple[int, int]
    wire: Wire
    device: torch.device
    traffic: Traffic
    _sending: dist.Work | None = field(default=None, init=False)
    _expected: dist.Work | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        # Made when first needed: pipelines exchange tensors of their own. Two to receive into, because the last one is
        # still in use while the next one arrives.
        self._outgoing: Tensor | None = None
        self._incoming: list[Tensor] = []

    def send(self, tensor: Tensor) -> None:
        """Start sending ``tensor``, encoded; it may be overwritten as soon as this returns."""
        if self._outgoing is None:
            self._outgoing = self._buffer()
        self._wait(self._sending)
        self.wire.encode(tensor, self._outgoing)
        self._sending = dist.isend(self._outgoing, self.peer)
        self.traffic.sent_bytes += self._outgoing.nbytes

    def expect(self) -> None:
        """Post the receive of the neighbour's next tensor."""
        assert self._expected is None
        if not self._incoming:
            self._incoming = [self._buffer(), self._buffer()]
        self._expected = dist.irecv(self._incoming[0], self.peer)

    def receive(self) -> Tensor:
        """The expected tensor, decoded; valid until the next call."""
        assert self._expected is not None
        self._wait(self._expected)
        self._expected = None
        self._incoming.reverse()
        payload = self._incoming[1]
        self.traffic.received_bytes += payload.nbytes
        return self.wire.decode(payload)

    def hand(self, tensor: Tensor) -> None:
        """Send a float32 tensor of any shape now; for starts and evaluation, off the clock and not counted."""
        dist.send(tensor.contiguous(), self.peer)

    def take(self, rows: int) -> Tensor:
        """The float32 tensor (rows, units) the neighbour hands over."""
        tensor = torch.empty(rows, self.shape[1], device=self.device)
        dist.recv(tensor, self.peer)
        return tensor

    def measure(self, rows: int, starts: bool, repeats: int = 3) -> float:
        """Seconds per byte between the two workers, by the fastest round trip of a boundary tensor.

        Both call it, the one to the left with ``starts``.
        """
        tensor = torch.zeros(rows, self.shape[1], device=self.device)
        seconds = []
        for _ in range(repeats):
            start = time.perf_counter()
            if starts:
                self.hand(tensor)
                self.take(rows)
            else:
                self.hand(self.take(rows))
            seconds.append(time.perf_counter() - start)
        return min(seconds) / 2 / tensor.nbytes

    def close(self) -> None:
        """Wait for what is still on its way; both sides must have posted as often as the other sent."""
        for work in (self._sending, self._expected):
            if work is not None:
                work.wait()
        self._sending = self._expected = None

    def _buffer(self) -> Tensor:
        return torch.empty(self.shape, dtype=self.wire.dtype, device=self.device)

    def _wait(self, work: dist.Work | None) -> None:
        if work is None:
            return
        start = time.perf_counter()
        work.wait()
        self.traffic.waited_s += time.perf_counter() - start


def close(*neighbours: Neighbour | None) -> None:
    """Close those that are there."""
    for neighbour in neighbours:
        if neighbour is not None:
            neighbour.close()
