"""FDG, fully decoupled learning with delayed gradients (Zhuang, Wang, Liu, Lin, TNNLS 2022, arXiv 1906.09108).

In an iteration every block goes backward with the gradient, and then forward with the input, that its neighbours sent
in the iteration before; the last block goes forward and then backward. So no block waits for another one within an
iteration, and an iteration takes (T_F + T_B)/K on K workers. Block k goes backward for the forward pass that it made
2(K − k) iterations before. This is the arrangement of pdADMM: one tensor each way per iteration, no bubble. The paper's
shrinking of gradients between blocks is left out (its β is 1).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from pdadmm_bench.core.block import Block
from pdadmm_bench.data.problem import Problem
from pdadmm_bench.models.mlp import Layer
from pdadmm_bench.optim.base import Links
from pdadmm_bench.optim.gradient.delayed import DelayedGradients, DelayedState


class FDG(DelayedGradients):
    """Delayed gradients and delayed inputs."""

    summary: ClassVar[str] = "all passes of all blocks at once, inputs and gradients delayed (FDG, Zhuang et al., 2022)"
    forward_locked: ClassVar[bool] = False

    def init(self, problem: Problem, layers: Sequence[Layer], block: Block, links: Links) -> DelayedState:
        state = super().init(problem, layers, block, links)
        rows = len(problem.train.x)
        output = links.wire.round(links.left.receive_now(rows)) if links.left else state.x
        for part in state.blocks:
            part.input = output
            if not part.block.is_last:
                output = links.wire.round(part.forward(output))
        if links.right:
            links.right.send_now(output)
        return state

    def step(self, state: DelayedState) -> None:
        left, right = state.links.left, state.links.right
        with self.part("exchange"):
            state.receive_gradient()
        with self.part("backward"):
            for index, block in enumerate(state.blocks):
                if not block.block.is_last:
                    self.backward(state, index)
        with self.part("exchange"):
            if left and state.iteration > 0:
                state.blocks[0].input = left.receive().clone()  # the buffer is valid until the next one arrives
        with self.part("forward"):
            outputs = [block.forward(block.input) for block in state.blocks if block.input is not None]
            for block, output in zip(state.blocks[1:], outputs, strict=False):
                block.input = state.links.wire.round(output)
        if not right:
            with self.part("backward"):
                self.loss_gradient(state, outputs[-1])
                self.backward(state, len(state.blocks) - 1)
        with self.part("exchange"):
            if left:
                left.post_receive()
            if right:
                state.sent_right = outputs[-1]
                right.send(outputs[-1])
        state.iteration += 1

    def restore(self, state: DelayedState, snapshot: Any) -> None:
        super().restore(state, snapshot)
        left, right = state.links.left, state.links.right
        if right and state.iteration > state.first_from_right:
            right.post_receive()
        if left and state.sent_left is not None:
            left.send(state.sent_left)
        if left and state.iteration > 0:
            left.post_receive()
        if right and state.sent_right is not None:
            right.send(state.sent_right)
