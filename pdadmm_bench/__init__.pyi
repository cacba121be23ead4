from pdadmm_bench.core.errors import UserError as UserError
from pdadmm_bench.library import Comparison as Comparison
from pdadmm_bench.library import Results as Results
from pdadmm_bench.library import compare as compare
from pdadmm_bench.library import from_pyg as from_pyg
from pdadmm_bench.library import load as load
from pdadmm_bench.library import read as read
from pdadmm_bench.library import report as report
from pdadmm_bench.library import run as run
from pdadmm_bench.library import spec as spec

__version__: str
