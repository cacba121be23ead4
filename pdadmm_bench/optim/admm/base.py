"""What the ADMM methods share: the feed-forward start of a block, and its weights for evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol, TypeVar

import torch
from torch import Tensor

from pdadmm_bench.core.block import Block
from pdadmm_bench.core.spec import RunSpec
from pdadmm_bench.data.problem import Problem
from pdadmm_bench.models import mlp
from pdadmm_bench.models.mlp import Layer
from pdadmm_bench.optim.admm import subproblems as sub
from pdadmm_bench.optim.admm.descent import Descent
from pdadmm_bench.optim.admm.products import Products, full_precision
from pdadmm_bench.optim.admm.weights import ADMMLayer, SampleSpaceWeights, Weights, layer_weights
from pdadmm_bench.optim.base import Links, Optimizer
from pdadmm_bench.optim.reduction import Reduction


class ADMMState(Protocol):
    """The state of an ADMM method."""

    @property
    def layers(self) -> Sequence[ADMMLayer]:
        """The layers of the block, in order."""


ADMMStateT = TypeVar("ADMMStateT", bound=ADMMState)


@dataclass
class LayerStart:
    """A layer after the feed-forward start, whose residual p Wᵀ + b − z is zero."""

    index: int
    """The layer's place in the network, counted from 0."""
    weights: Weights | SampleSpaceWeights
    b: Tensor
    """(n_l,)"""
    p: Tensor
    """(N, n_{l-1}) the input, which the layer before has as its ``output``."""
    z: Tensor
    """(N, n_l) p Wᵀ + b."""
    output: Tensor | None
    """(N, n_l) f(z); None in the output layer of the network."""


class ADMMOptimizer(Optimizer[ADMMStateT]):
    """Base of the ADMM methods, whose layers have weights in one of two forms."""

    precisions: ClassVar[tuple[str, ...]] = ("fp32", "tf32", "bf16")

    def descent(self, reduce: Reduction) -> Descent:
        """How the steps of p and W are taken."""
        settings, products = self.hyperparameters, Products(self.precision, self.compile and self.compiles)
        return Descent(self.step_size, products, settings.step, settings.bias == "projected", reduce)

    def supports(self, spec: RunSpec) -> str | None:
        if spec.splits_rows and getattr(self.hyperparameters, "first_layer", "auto") == "samples":
            return (
                f"first_layer=samples needs the products of all training rows, and mesh {spec.mesh} splits the rows: "
                "use first_layer=features, or mesh layers"
            )
        return super().supports(spec)

    def step_size(self, tau: Tensor) -> Tensor:
        """The step for a subproblem of curvature τ."""
        return sub.exact_step(tau)

    def feed_forward_start(
        self, problem: Problem, layers: Sequence[Layer], block: Block, links: Links, descent: Descent
    ) -> list[LayerStart]:
        """The layers of ``block`` after one forward pass; the block's output is sent to the right neighbour."""
        settings = self.hyperparameters
        p = links.left.receive_now(len(problem.train.x)) if links.left else problem.train.x
        starts: list[LayerStart] = []
        for index, (weight, bias) in zip(block, layers, strict=True):
            with full_precision():
                z = torch.addmm(bias, p, weight.T)
            weights = layer_weights(index, block.total, weight, p, settings.first_layer, settings.decay, descent)
            output = z.relu() if index < block.total - 1 else None
            starts.append(LayerStart(index, weights, bias.clone(), p, z, output))
            if output is not None:
                p = output
        if links.right:
            links.right.send_now(p)
        return starts

    def layers(self, state: ADMMStateT) -> list[Layer]:
        return [Layer(layer.W, layer.b) for layer in state.layers]

    def predict(self, state: ADMMStateT, x: Tensor, block: Block) -> Tensor:
        return mlp.forward(state.layers, x, block)
