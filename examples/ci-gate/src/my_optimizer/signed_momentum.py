"""Steps of one length along the sign of the averaged gradient: Lion (Chen et al. 2023, arXiv 2302.06675)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from pdadmm_bench.core.typed import Typed
from pdadmm_bench.optim.gradient import GradientHyperparameters, GradientOptimizer


class Hyperparameters(GradientHyperparameters):
    """Of :class:`SignedMomentum`; ``lr`` and ``weight_decay`` are every gradient method's."""

    blend: float = Field(0.9, ge=0, lt=1, description="share of the average in the direction of a step")
    memory: float = Field(0.99, ge=0, lt=1, description="share of the average that stays from step to step")


class SignedMomentum(GradientOptimizer):
    """What pdadmm-bench asks for: a summary, hyperparameters, and the torch optimizer."""

    summary: ClassVar[str] = "steps along the sign of the averaged gradient (Lion)"
    Hyperparameters: ClassVar[type[Typed]] = Hyperparameters

    def torch_optimizer(self, parameters: list[Tensor]) -> torch.optim.Optimizer:
        settings = self.hyperparameters
        return Lion(parameters, settings.lr, settings.weight_decay, settings.blend, settings.memory)


class Lion(torch.optim.Optimizer):
    """The update itself, as any torch optimizer."""

    def __init__(self, parameters: list[Tensor], lr: float, weight_decay: float, blend: float, memory: float):
        super().__init__(parameters, {"lr": lr, "weight_decay": weight_decay, "blend": blend, "memory": memory})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:
        """One step of every parameter that has a gradient."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                average = self.state[parameter].setdefault("average", torch.zeros_like(parameter))
                direction = torch.lerp(parameter.grad, average, group["blend"]).sign_()
                parameter.mul_(1 - group["lr"] * group["weight_decay"]).sub_(direction, alpha=group["lr"])
                average.lerp_(parameter.grad, 1 - group["memory"])
