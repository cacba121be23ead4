"""Adadelta: full-batch Adadelta (Zeiler, 2012), through ``torch.optim.Adadelta``."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from pdadmm_bench.core.typed import Typed
from pdadmm_bench.optim.cost import CostProfile, gradient_profile
from pdadmm_bench.optim.gradient.base import GradientOptimizer
from pdadmm_bench.optim.hyperparameters.gradient import AdadeltaHyperparameters


class Adadelta(GradientOptimizer):
    """``torch.optim.Adadelta`` on the whole training set at once."""

    summary: ClassVar[str] = "full-batch Adadelta (Zeiler, 2012)"
    Hyperparameters: ClassVar[type[Typed]] = AdadeltaHyperparameters
    capturable: ClassVar[bool] = True

    @property
    def cost_profile(self) -> CostProfile:
        return gradient_profile(statistics=2, passes=29, scratch=2)

    def torch_optimizer(self, parameters: list[Tensor]) -> torch.optim.Optimizer:
        settings = self.hyperparameters
        return torch.optim.Adadelta(
            parameters, lr=settings.lr, weight_decay=settings.weight_decay, rho=settings.rho, eps=settings.eps,
            capturable=self.replayed,
        )  # fmt: skip
