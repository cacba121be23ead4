"""The exchange of boundary tensors between neighbours: non-blocking, through reused buffers, counted and timed.

A :class:`Neighbour` is the :class:`~pdadmm_bench.optim.base.Link` of an optimizer. Every send is matched by
one ``post_receive``, called early, so that a transfer runs while the worker computes. Time spent in ``receive`` or
waiting for a send buffer is exposed communication.
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
    """Bytes that a worker sent and received, and seconds that it waited, since the last :meth:`take`."""

    sent_bytes: int = 0
    received_bytes: int = 0
    waited_s: float = 0.0

    def take(self) -> dict[str, float]:
        """The counts; they start again from zero."""
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
    group: dist.ProcessGroup | None = None
    """The process group of the workers; None is the default one."""
    _sending: dist.Work | None = field(default=None, init=False)
    _posted: dist.Work | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        # Buffers are made when they are first needed, because pipelines exchange tensors of their own. There are two to
        # receive into, because one tensor is still in use while the next one arrives.
        self._outgoing: Tensor | None = None
        self._incoming: list[Tensor] = []

    def send(self, tensor: Tensor) -> None:
        """Start sending the encoded ``tensor``, which the caller may overwrite afterwards."""
        if self._outgoing is None:
            self._outgoing = self._buffer()
        self._wait(self._sending)
        self.wire.encode(tensor, self._outgoing)
        self._sending = dist.isend(as_sent(self._outgoing), self.peer, self.group)
        self.traffic.sent_bytes += self._outgoing.nbytes

    def post_receive(self) -> None:
        """Post the receive of the neighbour's next tensor."""
        assert self._posted is None
        if not self._incoming:
            self._incoming = [self._buffer(), self._buffer()]
        self._posted = dist.irecv(as_sent(self._incoming[0]), self.peer, self.group)

    def receive(self) -> Tensor:
        """The tensor of the posted receive, decoded; valid until the next call."""
        assert self._posted is not None
        self._wait(self._posted)
        self._posted = None
        self._incoming.reverse()
        payload = self._incoming[1]
        self.traffic.received_bytes += payload.nbytes
        return self.wire.decode(payload)

    def send_now(self, tensor: Tensor) -> None:
        """Send a float32 tensor of any shape, for starts and evaluation; counted where an iteration is under way."""
        dist.send(tensor.contiguous(), self.peer, self.group)
        self.traffic.sent_bytes += tensor.nbytes

    def receive_now(self, rows: int) -> Tensor:
        """The float32 tensor (rows, units) that the neighbour sends with ``send_now``."""
        tensor = torch.empty(rows, self.shape[1], device=self.device)
        start = time.perf_counter()
        dist.recv(tensor, self.peer, self.group)
        self.traffic.waited_s += time.perf_counter() - start
        self.traffic.received_bytes += tensor.nbytes
        return tensor

    def measure(self, rows: int, starts: bool, repeats: int = 3) -> float:
        """Seconds per byte between the two workers, by the fastest round trip of a boundary tensor.

        Both workers call it, the left one with ``starts``.
        """
        tensor = torch.zeros(rows, self.shape[1], device=self.device)
        seconds = []
        for _ in range(repeats):
            start = time.perf_counter()
            if starts:
                self.send_now(tensor)
                self.receive_now(rows)
            else:
                self.send_now(self.receive_now(rows))
            seconds.append(time.perf_counter() - start)
        return min(seconds) / 2 / tensor.nbytes

    def close(self) -> None:
        """Wait for tensors that are still on their way; each side must have posted one receive per tensor sent."""
        for work in (self._sending, self._posted):
            if work is not None:
                work.wait()
        self._sending = self._posted = None

    def _buffer(self) -> Tensor:
        return torch.empty(self.shape, dtype=self.wire.dtype, device=self.device)

    def _wait(self, work: dist.Work | None) -> None:
        if work is None:
            return
        start = time.perf_counter()
        work.wait()
        self.traffic.waited_s += time.perf_counter() - start


def as_sent(buffer: Tensor) -> Tensor:
    """``buffer`` as it is given to torch.distributed: codes as bytes, because NCCL has no 16-bit integers."""
    return buffer if buffer.is_floating_point() else buffer.view(torch.uint8)


def close(*neighbours: Neighbour | None) -> None:
    """Close the neighbours that exist."""
    for neighbour in neighbours:
        if neighbour is not None:
            neighbour.close()
