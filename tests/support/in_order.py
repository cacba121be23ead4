"""A backend for tests that is as strict as NCCL, around Gloo: what Gloo forgives is an error here.

NCCL carries out the point-to-point operations of two workers in the order in which they were issued, on a stream of
their own (a lane). A worker that issues a receive while its neighbour issues a receive too waits for ever. Here both
workers tell each other, through the store, what their n-th operation is, and both fail at once if these do not match.
The other rules of NCCL are checked as well:

* a type that NCCL does not have is refused;
* a receive may write its buffer at any time, so the buffer is filled with NaN when the receive is posted;
* a send may read its buffer at any time, so the buffer is compared with its first content when the send is complete;
* a batch of operations is one operation of a lane of its own, which belongs to all workers of the group;
* a sum over a group takes the same number of values of the same type from everybody, and nobody may use its buffer
  before it is complete, so the buffer is filled with NaN until then.

Sources: ``ProcessGroupNCCL::pointToPoint`` of torch 2.13, and the section on point-to-point communication of NCCL's
user guide.
"""

from __future__ import annotations

import queue
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.distributed_c10d import _get_default_group

NAME = "in-order"
TYPES = (
    torch.int8, torch.uint8, torch.int32, torch.int64, torch.float16, torch.float32, torch.float64, torch.bfloat16,
    torch.bool,
)  # fmt: skip
"""The types that NCCL sends."""
BATCH = "batch"
UNWRITTEN = 0xAA
"""What a posted receive fills a buffer of integers with."""
OPPOSITE = {"send": "receive", "receive": "send"}

_eager = False


class OutOfOrder(RuntimeError):
    """An exchange that would never end, or would give wrong values, under NCCL."""


@contextmanager
def one_lane_for_all() -> Iterator[None]:
    """In the block, all operations of a worker share a lane, as when torch initialises NCCL eagerly (``device_id``)."""
    global _eager
    _eager = True
    try:
        yield
    finally:
        _eager = False


def register() -> str:
    """Make the backend known to torch in this process; return its name."""

    def create(store: dist.Store, rank: int, size: int, timeout: timedelta) -> InOrder:
        return InOrder(store, rank, size, timeout)

    dist.Backend.register_backend(NAME, create, devices=["cpu"])

    def batch(operations: list[dist.P2POp]) -> list[dist.Work]:
        group = operations[0].group or _get_default_group()
        return group.batch(operations)

    dist.batch_isend_irecv = batch
    return NAME


@dataclass
class Operation:
    """A send or a receive."""

    kind: str
    tensor: Tensor
    rank: int
    peer: int

    def __str__(self) -> str:
        shape = "×".join(map(str, self.tensor.shape))
        way = "to" if self.kind == "send" else "from"
        return f"{self.kind} of {shape} {self.tensor.dtype} {way} worker {self.peer}, by worker {self.rank}"

    def prepare(self) -> None:
        """Refuse what NCCL does not send; spoil a buffer that is received into."""
        if self.tensor.dtype not in TYPES:
            raise OutOfOrder(f"NCCL has no type for the {self}")
        if not self.tensor.is_contiguous():
            raise OutOfOrder(f"NCCL needs contiguous memory for the {self}")
        if self.kind == "send":
            self.sent = self.tensor.clone()
        else:
            self.tensor.fill_(float("nan") if self.tensor.is_floating_point() else UNWRITTEN & 0x7F)

    def announce(self, store: dist.Store, key: str) -> None:
        """Tell the peer what this worker does."""
        store.set(f"{key}/{self.rank}", f"{self.kind} {self.tensor.nbytes}")

    def agree(self, store: dist.Store, key: str, timeout: timedelta) -> None:
        """Wait until the peer has told what it does; raise if that is not the other end of this."""
        try:
            store.wait([f"{key}/{self.peer}"], timeout)
        except dist.DistStoreError as error:
            raise OutOfOrder(f"worker {self.peer} never issued its end of the {self} ({key})") from error
        found = store.get(f"{key}/{self.peer}").decode()
        if found != f"{OPPOSITE[self.kind]} {self.tensor.nbytes}":
            raise OutOfOrder(f"{key}: the {self}, meets a {found} bytes by worker {self.peer}")

    def check(self) -> None:
        """Raise if a buffer was changed while it was sent."""
        if self.kind == "send" and not torch.equal(_bits(self.sent), _bits(self.tensor)):
            raise OutOfOrder(f"the buffer was changed during the {self}")


@dataclass
class Total:
    """A tensor that is to become its sum over a group."""

    tensor: Tensor
    rank: int

    def __str__(self) -> str:
        return f"sum of {'×'.join(map(str, self.tensor.shape))} {self.tensor.dtype}, by worker {self.rank}"

    def prepare(self) -> None:
        """Refuse what NCCL does not add; take the values out of the buffer."""
        if self.tensor.dtype not in TYPES or not self.tensor.is_contiguous():
            raise OutOfOrder(f"NCCL needs a type of its own and contiguous memory for the {self}")
        self.given = self.tensor.clone()
        self.tensor.fill_(float("nan"))
        self.spoilt = self.tensor.clone()

    def agree(self, store: dist.Store, key: str, size: int, timeout: timedelta) -> None:
        """Wait until everybody has told what it adds; raise if somebody adds something else."""
        mine = f"{self.tensor.numel()} {self.tensor.dtype}"
        store.set(f"{key}/{self.rank}", mine)
        try:
            store.wait([f"{key}/{other}" for other in range(size)], timeout)
        except dist.DistStoreError as error:
            raise OutOfOrder(f"somebody never issued its part of the {self} ({key})") from error
        for other in range(size):
            if (found := store.get(f"{key}/{other}").decode()) != mine:
                raise OutOfOrder(f"{key}: the {self}, meets one of {found} by worker {other}")

    def deliver(self) -> None:
        """Put the sum into the buffer; raise if somebody has written there."""
        if not torch.equal(_bits(self.spoilt), _bits(self.tensor)):
            raise OutOfOrder(f"the buffer was changed during the {self}")
        self.tensor.copy_(self.given)


class Pending(dist.Work):
    """What an issued operation returns."""

    def __init__(self) -> None:
        super().__init__()
        self.done = threading.Event()
        self.error: Exception | None = None

    def wait(self, timeout: timedelta | None = None) -> bool:
        self.done.wait()
        if self.error:
            raise self.error
        return True

    def is_completed(self) -> bool:
        return self.done.is_set()


class InOrder(dist.ProcessGroup):
    """A process group whose operations wait for each other as those of NCCL do."""

    def __init__(self, store: dist.Store, rank: int, size: int, timeout: timedelta):
        super().__init__(rank, size)
        self._store, self._timeout = store, timeout / 3  # so that who waits here reports it before others give up
        self._gloo = dist.ProcessGroupGloo(dist.PrefixStore("gloo", store), rank, size, timeout)
        self._lanes: dict[str, queue.SimpleQueue[tuple[Pending, Callable[[dist.Store], None]]]] = {}
        self._issued: Counter[str] = Counter()

    def getBackendName(self) -> str:
        return NAME

    def send(self, tensors: Sequence[Tensor], peer: int, tag: int = 0) -> dist.Work:
        return self._issue(Operation("send", tensors[0].detach(), self.rank(), peer))

    def recv(self, tensors: Sequence[Tensor], peer: int, tag: int = 0) -> dist.Work:
        return self._issue(Operation("receive", tensors[0].detach(), self.rank(), peer))

    def batch(self, operations: Sequence[dist.P2POp]) -> list[dist.Work]:
        """All operations as one."""
        kinds = {dist.isend: "send", dist.irecv: "receive"}
        own = [Operation(kinds[each.op], each.tensor.detach(), self.rank(), each.group_peer) for each in operations]
        keys = []
        for operation in own:
            ends = (operation.rank, operation.peer) if operation.kind == "send" else (operation.peer, operation.rank)
            keys.append(self._number("batch {}→{}".format(*ends)))
        return [self._run(BATCH, list(zip(own, keys, strict=True)), tag=1)]

    def allreduce(self, tensors: Sequence[Tensor], options: Any = None) -> dist.Work:
        total = Total(tensors[0].detach(), self.rank())
        key = self._number("sum")
        total.prepare()

        def carry_out(store: dist.Store) -> None:
            total.agree(store, key, self.size(), self._timeout)
            self._gloo.allreduce([total.given]).wait()
            total.deliver()

        return self._put("all" if _eager else "sum", carry_out)

    def _issue(self, operation: Operation) -> dist.Work:
        pair = "pair {}-{}".format(*sorted((operation.rank, operation.peer)))
        return self._run(pair, [(operation, self._number(pair))], tag=0)

    def _number(self, name: str) -> str:
        self._issued[name] += 1
        return f"{name}, operation {self._issued[name]}"

    def _run(self, lane: str, operations: Sequence[tuple[Operation, str]], tag: int) -> Pending:
        """Put the operations, as one, at the end of the lane."""
        for operation, _ in operations:
            operation.prepare()

        def carry_out(store: dist.Store) -> None:
            for operation, key in operations:
                operation.announce(store, key)
            for operation, key in operations:
                operation.agree(store, key, self._timeout)
            works: list[Any] = [
                (self._gloo.send if operation.kind == "send" else self._gloo.recv)(
                    [operation.tensor], operation.peer, tag
                )
                for operation, _ in operations
            ]
            for work in works:
                work.wait()
            for operation, _ in operations:
                operation.check()

        return self._put("all" if _eager else lane, carry_out)

    def _put(self, lane: str, carry_out: Callable[[dist.Store], None]) -> Pending:
        pending = Pending()
        self._lane(lane).put((pending, carry_out))
        return pending

    def _lane(self, name: str) -> queue.SimpleQueue[tuple[Pending, Callable[[dist.Store], None]]]:
        if name not in self._lanes:
            self._lanes[name] = lane = queue.SimpleQueue()
            # A connection of its own, since a store that waits in one thread keeps others waiting.
            threading.Thread(target=_carry_out, args=(lane, self._store.clone()), daemon=True).start()
        return self._lanes[name]


def _carry_out(lane: queue.SimpleQueue[tuple[Pending, Callable[[dist.Store], None]]], store: dist.Store) -> None:
    """Carry out the operations of a lane one after the other; after an error, none of them works."""
    error: Exception | None = None
    while True:
        pending, operation = lane.get()
        try:
            if error:
                raise error
            operation(store)
        except Exception as found:
            error = pending.error = found
        pending.done.set()


def _bits(tensor: Tensor) -> Tensor:
    """The bytes of a tensor, of which NaN equals itself."""
    return tensor.contiguous().view(-1).view(torch.uint8)
