"""Adam: full-batch Adam (Kingma and Ba, 2015), through ``torch.optim.Adam``."""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from pdadmm_bench.core.typed import Typed
from pdadmm_bench.optim.cost import CostProfile, gradient_profile
from pdadmm_bench.optim.gradient.base import GradientHyperparameters, GradientOptimizer


class AdamHyperparameters(GradientHyperparameters):
    """As ``torch.optim.Adam`` names them."""

    beta1: float = Field(0.9, ge=0, lt=1, description="decay of the first moment")
    beta2: float = Field(0.999, ge=0, lt=1, description="decay of the second moment")
    eps: float = Field(1e-8, gt=0, description="added to the denominator")


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
