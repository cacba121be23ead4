"""SGD: full-batch gradient descent, through ``torch.optim.SGD``."""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from pdadmm_bench.core.typed import Typed
from pdadmm_bench.optim.cost import CostProfile, gradient_profile
from pdadmm_bench.optim.gradient.base import GradientHyperparameters, GradientOptimizer


class SGDHyperparameters(GradientHyperparameters):
    """As ``torch.optim.SGD`` names them."""

    momentum: float = Field(0.0, ge=0, lt=1, description="heavy-ball momentum")


class SGD(GradientOptimizer):
    """``torch.optim.SGD`` on the whole training set at once."""

    summary: ClassVar[str] = "full-batch gradient descent"
    Hyperparameters: ClassVar[type[Typed]] = SGDHyperparameters
    capturable: ClassVar[bool] = True

    @property
    def cost_profile(self) -> CostProfile:
        heavy = self.hyperparameters.momentum > 0
        return gradient_profile(statistics=int(heavy), passes=5 if heavy else 3)

    def torch_optimizer(self, parameters: list[Tensor]) -> torch.optim.Optimizer:
        settings = self.hyperparameters
        return torch.optim.SGD(
            parameters, lr=settings.lr, weight_decay=settings.weight_decay, momentum=settings.momentum, fused=True
        )
