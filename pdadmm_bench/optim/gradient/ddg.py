"""DDG, decoupled parallel backpropagation with delayed gradients (Huo, Gu, Yang, Huang, ICML 2018, arXiv 1804.10574).

In iteration t all blocks go forward at w^t, one after the other. Then block k goes backward for the forward pass of
iteration t − K + k, with the gradient that block k + 1 sent in iteration t − 1, and makes its step: section 3 of the
paper and its algorithm 1. The gradient is that at the activations and weights of iteration t − K + k, and 0 as long as
t − K + k < 0. The last block, k = K, has no delay. On K workers the backward passes run at the same time and the
forward passes do not, so an iteration takes T_F + T_B/K of the seconds T_F + T_B of backpropagation.
"""

from __future__ import annotations

from typing import Any, ClassVar

from pdadmm_bench.optim.gradient.delayed import DelayedGradients, DelayedState


class DDG(DelayedGradients):
    """Delayed gradients, with a forward pass through all blocks in every iteration."""

    summary: ClassVar[str] = "backward passes of all blocks at once, with delayed gradients (DDG, Huo et al., 2018)"
    forward_locked: ClassVar[bool] = True

    def step(self, state: DelayedState) -> None:
        left, right = state.links.left, state.links.right
        if left:
            left.post_receive()
        with self.part("forward"):
            output = left.receive().clone() if left else state.x  # the buffer is valid until the next one arrives
            for block in state.blocks:
                output = block.forward(output)
                if not block.block.is_last:
                    output = state.links.wire.round(output)
        with self.part("exchange"):
            if right:
                right.send(output)
            state.receive_gradient()
        with self.part("backward"):
            if not right:
                self.loss_gradient(state, output)
            for index in range(len(state.blocks)):
                self.backward(state, index)
        state.iteration += 1

    def restore(self, state: DelayedState, snapshot: Any) -> None:
        super().restore(state, snapshot)
        if state.links.right and state.iteration > state.first_from_right:
            state.links.right.post_receive()
        if state.links.left and state.sent_left is not None:
            state.links.left.send(state.sent_left)
