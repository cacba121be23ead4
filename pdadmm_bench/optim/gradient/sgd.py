"""SGD: gradient descent, through ``torch.optim.SGD``.

The input x of the first layer is data, so every iterate of its weights is c·W₀ + Aᵀx, and so is every sum of its
gradients that the momentum keeps (:mod:`pdadmm_bench.optim.admm.sample_space`). With δ = ∂R/∂a of the layer, the
gradient with weight decay λ is λc·W₀ + (δ + λA)ᵀx. So ``torch.optim.SGD`` on A with the gradient δ, and on c with the
gradient 0, takes the same steps. Where there are fewer training rows than features they need one product of N·N·n in
the place of two of N·d·n.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from pdadmm_bench.core.block import Block
from pdadmm_bench.core.spec import RunSpec
from pdadmm_bench.core.typed import Typed
from pdadmm_bench.data.problem import Problem
from pdadmm_bench.models import mlp
from pdadmm_bench.models.backprop import Backprop
from pdadmm_bench.models.mlp import Layer
from pdadmm_bench.optim.admm.sample_space import SampleSpaceWeights
from pdadmm_bench.optim.admm.weights import ADMMLayer
from pdadmm_bench.optim.base import Links
from pdadmm_bench.optim.cost import Arrays, CostProfile, LayerWork, gradient_profile, in_sample_space
from pdadmm_bench.optim.gradient.base import GradientOptimizer, GradientState
from pdadmm_bench.optim.hyperparameters.gradient import SGDHyperparameters


@dataclass
class SampledBackprop(Backprop):
    """The passes of a network whose first layer has coefficients A (N, n) of the training rows as its weight."""

    first: SampleSpaceWeights = field(kw_only=True)

    def product(self, i: int, x: Tensor, out: Tensor | None) -> Tensor:
        if i > 0:
            return super().product(i, x, out)
        A, b = self.factors[0]
        return torch.addmm(b, self.first.gram, A, out=out).addcmul_(self.first.start_image, self.first.c)

    def add(self, i: int, gradient: Tensor, x: Tensor) -> None:
        if i > 0:
            super().add(i, gradient, x)
            return
        A, b = self.layers[0]
        assert A.grad is not None and b.grad is not None
        A.grad.copy_(gradient)
        b.grad.copy_(gradient.sum(0))


class SGD(GradientOptimizer):
    """``torch.optim.SGD`` on the whole training set at once."""

    summary: ClassVar[str] = "full-batch gradient descent"
    Hyperparameters: ClassVar[type[Typed]] = SGDHyperparameters
    capturable: ClassVar[bool] = True

    @property
    def cost_profile(self) -> CostProfile:
        heavy = self.hyperparameters.momentum > 0
        statistics, passes = int(heavy), 5 if heavy else 3
        profile = gradient_profile(statistics, passes)
        if self.hyperparameters.first_layer == "features" or self.precision == "bf16":
            return profile
        # Activation, A and its gradient, the image of the starting weights; these weights, and the rows' products.
        states = Arrays(1, 4 + statistics, 1, 1)
        return replace(profile, sampled=LayerWork(0, Arrays(outputs=12 + passes), states, gram_products=1))

    def torch_optimizer(self, parameters: list[Tensor]) -> torch.optim.Optimizer:
        settings = self.hyperparameters
        return torch.optim.SGD(
            parameters, lr=settings.lr, weight_decay=settings.weight_decay, momentum=settings.momentum, fused=True
        )

    def supports(self, spec: RunSpec) -> str | None:
        if reason := super().supports(spec):
            return reason
        if self.hyperparameters.first_layer == "samples" and (spec.gpus > 1 or spec.batch_size or self._rounds):
            return (
                "first_layer=samples is for one worker, all rows in a step, and fp32 or tf32; use first_layer=auto, "
                "which is features for everything else"
            )
        return None

    @property
    def _rounds(self) -> bool:
        return self.precision == "bf16"

    def init(self, problem: Problem, layers: Sequence[Layer], block: Block, links: Links) -> GradientState:
        x = problem.train.x
        alone = links.pipeline is None and links.reduce.size == 1 and not self.batch_size and not self._rounds
        form = self.hyperparameters.first_layer
        if not alone or form == "features" or (form == "auto" and not in_sample_space(*x.shape)):
            return super().init(problem, layers, block, links)
        first, *others = layers
        sampled = SampleSpaceWeights.of(first.weight, x)
        # The parameters share their memory with ``sampled``, which takes no part in autograd.
        own = [Layer(sampled.A.detach(), first.bias.clone()), *(Layer(*(t.clone() for t in layer)) for layer in others)]
        c = sampled.c.detach()
        for tensor in (c, *(tensor for layer in own for tensor in layer)):
            tensor.requires_grad_()
        c.grad = torch.zeros_like(c)
        network = SampledBackprop(own, block, first=sampled)
        optimizer = self.torch_optimizer([c, *(tensor for layer in own for tensor in layer)])
        return GradientState(own, optimizer, network, x, problem.train.y, None, links.reduce, [], sampled=sampled)

    def layers(self, state: GradientState) -> list[Layer]:
        first, *others = super().layers(state)
        return [Layer(state.sampled.matrix(), first.bias) if state.sampled else first, *others]

    def predict(self, state: GradientState, x: Tensor, block: Block) -> Tensor:
        if state.sampled is None:
            return super().predict(state, x, block)
        first, *others = super().layers(state)
        with torch.no_grad():
            return mlp.forward([ADMMLayer(state.sampled, first.bias), *others], x, block)

    def snapshot(self, state: GradientState) -> Any:
        return super().snapshot(state) | ({"c": state.sampled.c} if state.sampled else {})

    def restore(self, state: GradientState, snapshot: Any) -> None:
        super().restore(state, snapshot)
        if state.sampled:
            state.sampled.c.copy_(snapshot["c"])
