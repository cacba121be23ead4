"""The Python API: what the command does, as functions, for a notebook or a program. ``pdadmm_bench`` has its names."""

from pdadmm_bench.library.compare import Comparison, compare
from pdadmm_bench.library.load import from_pyg, load
from pdadmm_bench.library.report import report
from pdadmm_bench.library.results import Results, ShownTable, read
from pdadmm_bench.library.run import run, spec

__all__ = ["Comparison", "Results", "ShownTable", "compare", "from_pyg", "load", "read", "report", "run", "spec"]
