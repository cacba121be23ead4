"""Mistakes in the exchange of tensors that Gloo forgives and NCCL does not, or that give every worker other weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from unittest import mock

from torch import Tensor

from pdadmm_bench.optim.admm import subproblems as sub
from pdadmm_bench.optim.admm.dladmm import DlADMM, DlADMMState
from pdadmm_bench.optim.admm.row_sums import RowSums
from pdadmm_bench.parallel import exchange
from pdadmm_bench.parallel.row_group import RowGroup, Sum


def step_with_both_receives_first(self: DlADMM, state: DlADMMState) -> None:
    """dlADMM's step with the receive from the left neighbour posted at its start: both ends of a boundary receive."""
    left = state.links.left
    if left:
        left.post_receive()
    with mock.patch.object(exchange.Neighbour, "post_receive", post_unless_posted):
        original_step(self, state)


original_step, post_receive = DlADMM.step, exchange.Neighbour.post_receive


def post_unless_posted(neighbour: exchange.Neighbour) -> None:
    if neighbour._posted is None:
        post_receive(neighbour)


@contextmanager
def dladmm_receives_first() -> Iterator[None]:
    """Each worker posts a receive from its neighbour before either sends."""
    with mock.patch.object(DlADMM, "step", step_with_both_receives_first):
        yield


@contextmanager
def sixteen_bits() -> Iterator[None]:
    """Codes are sent in their own type."""
    with mock.patch.object(exchange, "as_sent", lambda buffer: buffer):
        yield


@contextmanager
def another_sum() -> Iterator[None]:
    """The second of the workers that share rows gives a part of its tensor only."""
    whole = RowGroup.start

    def start(self: RowGroup, tensor: Tensor) -> Sum:
        return whole(self, tensor[:1] if self.index == 1 else tensor)

    with mock.patch.object(RowGroup, "start", start):
        yield


@contextmanager
def forgotten_sum() -> Iterator[None]:
    """The means of the rows are those of each worker."""
    with mock.patch.object(RowSums, "column_mean", lambda self, x: sub.column_mean(x, self.scratch)):
        yield


MISTAKES: dict[str, Callable[[], AbstractContextManager[None]]] = {
    "dlADMM receives first": dladmm_receives_first,
    "codes of 16 bits": sixteen_bits,
    "a worker sums something else": another_sum,
    "an optimizer forgets a sum": forgotten_sum,
}
