"""Adagrad: full-batch Adagrad (Duchi et al., 2011), through ``torch.optim.Adagrad``."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from pdadmm_bench.core.typed import Typed
from pdadmm_bench.optim.cost import CostProfile, gradient_profile
from pdadmm_bench.optim.gradient.base import GradientOptimizer
from pdadmm_bench.optim.hyperparameters.gradient import AdagradHyperparameters


class Adagrad(GradientOptimizer):
    """``torch.optim.Adagrad`` on the whole training set at once."""

    summary: ClassVar[str] = "full-batch Adagrad (Duchi et al., 2011)"
    Hyperparameters: ClassVar[type[Typed]] = AdagradHyperparameters
    capturable: ClassVar[bool] = True

    def steady(self) -> bool:
        return super().steady() and bool(
            self.hyperparameters.lr_decay == 0
        )  # torch computes the decayed rate on the host

    @property
    def cost_profile(self) -> CostProfile:
        return gradient_profile(statistics=1, passes=5)

    def torch_optimizer(self, parameters: list[Tensor]) -> torch.optim.Optimizer:
        settings = self.hyperparameters
        return torch.optim.Adagrad(
            parameters,
            lr=settings.lr,
            weight_decay=settings.weight_decay,
            lr_decay=settings.lr_decay,
            eps=settings.eps,
            # On a GPU torch chooses: the oldest torch that this package supports has no fused kernel for it.
            fused=True if parameters[0].device.type == "cpu" else None,
        )
