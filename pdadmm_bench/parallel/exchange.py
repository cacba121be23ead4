"""The exchange of boundary tensors between neighbours: non-blocking, through reused buffers, counted and timed.

A :class:`Neighbour` is the :class:`~pdadmm_bench.optim.base.Link` of an optimizer. Every send is matched by
one ``post_receive``, called early, so that a transfer runs while the worker computes. Time spent in ``receive`` or
waiting for a send buffer is exposed communication. It is time of the device (:mod:`.device_clock`): under NCCL the
stream of the device waits, and the process does not.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from pdadmm_bench.optim.wire import Wire
from pdadmm_bench.parallel.device_clock import DeviceClock, HostClock


@dataclass
class Traffic:
    """Bytes that a worker sent and received, and seconds that it waited, since the last :meth:`take`."""

    clock: DeviceClock = field(default_factory=HostClock)
    """The clock of the worker's device."""
    sent_bytes: int = 0
    received_bytes: int = 0
    reduced_bytes: int = 0
    """Bytes that this worker sent, and received, in sums over rows, by the formula of a ring."""
    _marks: list[tuple[int, Any, Any]] = field(default_factory=list, init=False)
    """Parts of the work: 1 for waiting or -1 for computing within it, with the marks at its start and end."""

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """In the block, the device waits for a neighbour, except where it is :meth:`computing`."""
        with self._marked(1):
            yield

    @contextmanager
    def computing(self) -> Iterator[None]:
        """In the block, which lies in one of :meth:`waiting`, the device computes."""
        with self._marked(-1):
            yield

    def take(self) -> dict[str, float]:
        """The counts; they start again from zero. The device must have finished its work."""
        waited = sum(sign * self.clock.seconds(first, last) for sign, first, last in self._marks)
        values = {
            "sent_bytes": self.sent_bytes, "received_bytes": self.received_bytes, "reduced_bytes": self.reduced_bytes,
            "exposed_s": waited,
        }  # fmt: skip
        self.sent_bytes = self.received_bytes = self.reduced_bytes = 0
        self._marks.clear()
        return values

    @contextmanager
    def _marked(self, sign: int) -> Iterator[None]:
        first = self.clock.mark()
        yield
        self._marks.append((sign, first, self.clock.mark()))


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
        """The float32 tensor (rows, units) that the neighbour sends with ``send_now``; it has arrived."""
        tensor = torch.empty(rows, self.shape[1], device=self.device)
        with self.traffic.waiting():
            dist.recv(tensor, self.peer, self.group)
        self.traffic.clock.finish()
        self.traffic.received_bytes += tensor.nbytes
        return tensor

    def measure(self, rows: int, starts: bool, repeats: int = 3) -> float:
        """Seconds per byte between the two workers, by the fastest round trip of a boundary tensor.

        Both workers call it, the left one with ``starts``.
        """
        clock = self.traffic.clock
        tensor = torch.zeros(rows, self.shape[1], device=self.device)
        seconds = []
        for _ in range(repeats):
            clock.finish()
            first = clock.mark()
            if starts:
                self.send_now(tensor)
                self.receive_now(rows)
            else:
                self.send_now(self.receive_now(rows))
            last = clock.mark()
            clock.finish()
            seconds.append(clock.seconds(first, last))
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
        if work is not None:
            with self.traffic.waiting():
                work.wait()


def as_sent(buffer: Tensor) -> Tensor:
    """``buffer`` as it is given to torch.distributed: codes as bytes, because NCCL has no 16-bit integers."""
    return buffer if buffer.is_floating_point() else buffer.view(torch.uint8)


def close(*neighbours: Neighbour | None) -> None:
    """Close the neighbours that exist."""
    for neighbour in neighbours:
        if neighbour is not None:
            neighbour.close()
