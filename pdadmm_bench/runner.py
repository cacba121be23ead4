"""The training runner under its first name, for other packages; the work is in :mod:`pdadmm_bench.training.run`."""

from pdadmm_bench.training.observer import Observer
from pdadmm_bench.training.run import Result, run, time_iterations
from pdadmm_bench.training.setup import choose_device, make_optimizer

__all__ = ["Observer", "Result", "choose_device", "make_optimizer", "run", "time_iterations"]
