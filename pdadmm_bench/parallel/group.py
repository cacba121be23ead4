"""The group of workers of a run: rank, size, and the exchange of Python objects off the clock.

:class:`Group` is a single worker. :class:`Workers` are several, which communicate through torch.distributed (Gloo for
CPU tensors and Python objects, NCCL for CUDA tensors).
"""

from __future__ import annotations

import os
import re
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.distributed_c10d import _abort_process_group as abort_process_group

from pdadmm_bench.core.child import report_failure
from pdadmm_bench.core.errors import Unreachable, UserError
from pdadmm_bench.core.signals import STOPS, handlers_kept

_START_S = 900.0
"""Seconds that workers wait for each other at the start, since one of them may have to fetch and prepare data."""
_WATCHDOG = timedelta(minutes=1)
_PATIENCE = timedelta(days=7)
"""How long workers wait for worker 0 in :meth:`Group.follow`, since its work there has no time limit."""


class Group:
    """A single worker."""

    rank = 0
    size = 1
    interrupted = False
    """Whether this worker was asked to stop (Ctrl-C); the workers agree on it at the end of an iteration."""

    def gather(self, value: Any) -> list[Any]:
        """Every worker's ``value``, in the order of ranks, on every worker; also a barrier."""
        return [value]

    def broadcast(self, value: Any, source: int = 0) -> Any:
        """The ``value`` of worker ``source``, on every worker."""
        return value

    def barrier(self) -> None:
        """Wait until every worker calls this too."""

    def follow(self) -> None:
        """Wait until worker 0 calls this too, however long that takes. Worker 0 waits only as for any exchange."""

    def first(self, size: int) -> Group:
        """The first ``size`` of these workers as a group of their own; every worker calls it."""
        return self


class Workers(Group):
    """One of the first ``size`` processes of the default process group.

    Args:
        size: how many of the processes work together; every process makes the object, also those that take no part.
        timeout: seconds after which a stalled exchange is an error.
    """

    def __init__(self, size: int, timeout: timedelta):
        self.rank, self.size = dist.get_rank(), size
        self.limit_s = timeout.total_seconds()
        """Seconds after which a stalled exchange is an error."""
        ranks = list(range(size))
        # Python objects go through Gloo, so that they never take a CUDA stream.
        self._control = dist.new_group(ranks, timeout=timeout, backend="gloo")
        nccl = "nccl" in dist.get_backend_config()
        self._tensors_limit = _limit_of_tensors(timeout, nccl)
        self.tensors = dist.new_group(ranks, timeout=self._tensors_limit)
        """The process group in which these workers exchange tensors."""
        self._groups: dict[tuple[int, ...], dist.ProcessGroup] = {}
        self._teams: dict[int, Workers] = {}
        own = timeout if self.rank == 0 else _PATIENCE
        self._following = dist.new_group(ranks, timeout=own, backend="gloo")

    def gather(self, value: Any) -> list[Any]:
        values: list[Any] = [None] * self.size
        dist.all_gather_object(values, value, group=self._control)
        return values

    def broadcast(self, value: Any, source: int = 0) -> Any:
        values = [value]
        dist.broadcast_object_list(values, src=source, group=self._control)
        return values[0]

    def barrier(self) -> None:
        dist.barrier(group=self._control)

    def send(self, tensor: Tensor, rank: int) -> None:
        """Send a tensor of the CPU to another worker, off the clock; none of it where it is empty."""
        if tensor.numel():
            dist.send(tensor.contiguous(), rank, group=self._control)

    def receive(self, into: Tensor, rank: int) -> Tensor:
        """``into``, filled with what worker ``rank`` sends."""
        if into.numel():
            dist.recv(into, rank, group=self._control)
        return into

    def form(self, layers: int, rows: int) -> None:
        """Make the process groups of the axes of a mesh, where there are none yet.

        Every process of the world calls this, also those that take no part. It does what torch's ``init_device_mesh``
        does, but with the time limit of this group, and for the first processes of a world alone.
        """
        columns = [list(range(first, first + rows)) for first in range(0, self.size, rows)]
        for ranks in [*columns, *(list(range(index, layers * rows, rows)) for index in range(rows))]:
            if 1 < len(ranks) < self.size and tuple(ranks) not in self._groups:
                self._groups[tuple(ranks)] = dist.new_group(ranks, self._tensors_limit)

    def tensors_of(self, ranks: Sequence[int]) -> dist.ProcessGroup:
        """The process group in which the workers of an axis exchange tensors, this one among them."""
        return self.tensors if len(ranks) == self.size else self._groups[tuple(ranks)]

    def follow(self) -> None:
        dist.broadcast(torch.empty(1), src=0, group=self._following)

    def first(self, size: int) -> Group:
        if size in (1, self.size):
            return self if size == self.size else Group()
        if size not in self._teams:
            self._teams[size] = team = Workers(size, timedelta(seconds=self.limit_s))
            team.interrupted = self.interrupted
        return self._teams[size]

    def interrupt(self) -> None:
        """Ask this worker to stop after its iteration."""
        for group in (self, *self._teams.values()):
            group.interrupted = True


@contextmanager
def joined(device: str, timeout: float, backend: str | None = None) -> Iterator[Workers]:
    """Membership in the process group that the environment describes.

    Args:
        device: ``cpu`` or ``cuda``; with ``cuda`` the worker takes the device of its local rank.
        timeout: seconds after which a stalled exchange is an error.
        backend: torch's name of the backend for tensors; by default Gloo for a CPU and NCCL for CUDA.

    Raises :class:`UserError` when another worker is on another kind of device, and :class:`Unreachable` when an
    exchange with another worker failed.
    """
    backend = backend or ("cpu:gloo,cuda:nccl" if device == "cuda" else "gloo")
    limit = timedelta(seconds=timeout)
    store, rank, size = next(dist.rendezvous("env://", timeout=timedelta(seconds=_START_S)))
    store.set(f"device/{rank}", device)
    store.wait([f"device/{other}" for other in range(size)], timedelta(seconds=_START_S))
    _check_devices([store.get(f"device/{other}").decode() for other in range(size)])
    if device == "cuda":
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    # No device_id: with it NCCL would put the exchanges with all neighbours on one stream, one after the other.
    dist.init_process_group(
        backend, store=store, rank=rank, world_size=size, timeout=_limit_of_tensors(limit, device == "cuda")
    )
    workers = Workers(size, limit)

    def interrupt(number: int, frame: object) -> None:
        workers.interrupt()

    before = signal.signal(signal.SIGINT, interrupt)
    try:
        yield workers
    except BaseException as error:
        reason = _as_unreachable(error)
        if isinstance(reason, Exception):
            # Before the group is left: NCCL may wait for a worker that never answers, or end this process.
            report_failure(reason)
        _leave(device)
        if reason is error:
            raise
        raise reason from error
    else:
        dist.destroy_process_group()
    finally:
        signal.signal(signal.SIGINT, before)


def _as_unreachable(error: BaseException) -> BaseException:
    """``error``, or :class:`Unreachable` if it is the failure of an exchange."""
    if not isinstance(error, RuntimeError) or not (isinstance(error, Unreachable) or _of_exchange(error)):
        return error
    if isinstance(error, Unreachable):
        return error
    reason = Unreachable(_sentence(error))
    reason.__cause__ = error
    return reason


def _leave(device: str) -> None:
    """Leave the process group after a failure, without waiting for exchanges that nobody will complete."""
    if device == "cuda":
        abort_process_group()
    else:
        dist.destroy_process_group()


def _limit_of_tensors(limit: timedelta, nccl: bool) -> timedelta:
    """The time limit of torch's own for exchanges of tensors.

    Under NCCL it ends the process, so it is a last resort: this program's own limit (:mod:`.device_clock`) comes first.
    """
    return 2 * limit + _WATCHDOG if nccl else limit


@contextmanager
def finishing_iteration(group: Group) -> Iterator[None]:
    """In the block, the first Ctrl-C or SIGTERM asks a single worker to stop after the iteration, as with several
    workers. The second one ends it at once.
    """
    if group.size > 1 or threading.current_thread() is not threading.main_thread():
        yield
        return

    def ask(number: int, frame: object) -> None:
        if group.interrupted:
            raise KeyboardInterrupt
        group.interrupted = True

    with handlers_kept(*STOPS, handler=ask):
        yield


def _of_exchange(error: RuntimeError) -> bool:
    """Whether torch.distributed raised ``error``; Gloo's errors are recognised by their text only."""
    return isinstance(error, dist.DistError) or "gloo" in str(error)


def _sentence(error: RuntimeError) -> str:
    """What happened, without the line of Gloo's source and without advice."""
    return re.sub(r"^\[\S*\] ", "", str(error)).split(". ")[0]


def _check_devices(devices: Sequence[str]) -> None:
    """Raise where the workers are on different kinds of device: such a group would wait for ever.

    Every machine chooses its device by itself.
    """
    for rank, device in enumerate(devices):
        if device != devices[0]:
            raise UserError(
                f"worker {rank} is on {device} and worker 0 on {devices[0]}: all workers of a run need the same kind "
                "of device; give --device cpu, or --device cuda where every machine has enough of them"
            )
