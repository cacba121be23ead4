"""The optimizer of a run: from its name, the preset's values and the values over them."""

from __future__ import annotations

from pdadmm_bench.core import presets
from pdadmm_bench.core.spec import RunSpec
from pdadmm_bench.optim import registry
from pdadmm_bench.optim.base import Optimizer


def create_optimizer(spec: RunSpec) -> Optimizer:
    """The optimizer of ``spec`` with preset, ``set`` and precision; nothing is compiled.

    Raises :class:`~pdadmm_bench.core.errors.UserError` for an unknown name or key, and for a value that is not valid.
    """
    values = presets.resolve(spec)
    optimizer: Optimizer = registry.get(spec.optimizer).create({**values, **spec.set}, spec.optimizer)
    optimizer.precision = spec.precision
    optimizer.deterministic = spec.deterministic
    optimizer.replayed = spec.cuda_graphs
    optimizer.batch_size, optimizer.seed = spec.batch_size, spec.seed
    return optimizer
