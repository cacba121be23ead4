"""Mistakes in the exchange of tensors that Gloo forgives and NCCL does not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from unittest import mock

from pdadmm_bench.optim.admm.dladmm import DlADMM, DlADMMState
from pdadmm_bench.parallel import exchange


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


MISTAKES: dict[str, Callable[[], AbstractContextManager[None]]] = {
    "dlADMM receives first": dladmm_receives_first,
    "codes of 16 bits": sixteen_bits,
}
