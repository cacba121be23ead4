"""The gradient methods: backpropagation, followed by an update of torch.optim."""

from pdadmm_bench.optim.gradient.base import GradientHyperparameters, GradientOptimizer

__all__ = ["GradientHyperparameters", "GradientOptimizer"]
