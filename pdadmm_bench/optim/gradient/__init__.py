"""The gradient methods: backpropagation, followed by an update of torch.optim."""

from pdadmm_bench.optim.gradient.base import GradientOptimizer
from pdadmm_bench.optim.hyperparameters.gradient import GradientHyperparameters

__all__ = ["GradientHyperparameters", "GradientOptimizer"]
