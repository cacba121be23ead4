"""Adam: full-batch Adam (Kingma and Ba, 2015), through ``torch.optim.Adam``."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from pdadmm_bench.core.typed import Typed
from pdadmm_bench.optim.cost import CostProfile, gradient_profile
from pdadmm_bench.optim.gradient.base import GradientOptimizer
from pdadmm_bench.optim.hyperparameters.gradient import AdamHyperparameters


class Adam(GradientOptimizer):
    """``torch.optim.Adam`` on the whole training set at once."""

    summary: ClassVar[str] = "full-batch Adam (Kingma and Ba, 2015)"
    Hyperparameters: ClassVar[type[Typed]] = AdamHyperparameters
    capturable: ClassVar[bool] = True

    @property
    def cost_profile(self) -> CostProfile:
        return gradient_profile(statistics=2, passes=7)

    def torch_optimizer(self, parameters: list[Tensor]) -> torch.optim.Optimizer:
        settings = self.hyperparameters
        return torch.optim.Adam(
            parameters,
            lr=settings.lr,
            weight_decay=settings.weight_decay,
            betas=(settings.beta1, settings.beta2),
            eps=settings.eps,
            fused=True,
            capturable=self.replayed,
        )
