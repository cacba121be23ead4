"""The training runner under its first name, for other packages; the work is in :mod:`pdadmm_bench.training.run`."""

from pdadmm_bench.training.run import Observer, Result, choose_device, make_optimizer, run, time_iterations

__all__ = ["Observer", "Result", "choose_device", "make_optimizer", "run", "time_iterations"]
