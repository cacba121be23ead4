"""The training runner under its first name, for other packages; the work is in :mod:`pdadmm_bench.training`."""

from pdadmm_bench.core.spec import RunSpec
from pdadmm_bench.optim.base import Optimizer
from pdadmm_bench.training.observer import Observer
from pdadmm_bench.training.run import Result, run, time_iterations
from pdadmm_bench.training.setup import choose_device, resolve

__all__ = ["Observer", "Result", "choose_device", "make_optimizer", "run", "time_iterations"]


def make_optimizer(spec: RunSpec) -> Optimizer:
    """The spec's optimizer with preset and ``set`` applied; raises ``UserError`` for a bad name, key or value."""
    return resolve(spec).optimizer
