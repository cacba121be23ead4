"""Records the baseline of a suite on this machine, and finds the one that was recorded."""

from __future__ import annotations

from pathlib import Path

from pdadmm_bench.core.env import environment
from pdadmm_bench.core.errors import UserError
from pdadmm_bench.core.files import check_folder, check_writable
from pdadmm_bench.core.options import Output
from pdadmm_bench.gate import baseline as files
from pdadmm_bench.gate import measure
from pdadmm_bench.gate.baseline import Baseline
from pdadmm_bench.gate.checkout import HEAD
from pdadmm_bench.suite.file import find


def record_baseline(name: str, folder: Path, timed: bool, output: Output, tell: measure.Tell) -> tuple[Path, Baseline]:
    """Run the suite ``name`` and write its baseline below ``folder``.

    Args:
        timed: whether seconds of an iteration are measured too.

    Raises :class:`UserError` when a run fails; nothing is written then.
    """
    suite = measure.load(name)
    path = files.path_of(folder, measure.this_class(), suite.name)
    check_writable(path)
    tell(f"machine class: {measure.this_class()}")
    (found,) = measure.collect(suite, [HEAD], output, tell)
    measure.check_finished(found)
    if timed:
        for benchmark, seconds in measure.record_times(suite, HEAD, output, tell).items():
            found[benchmark].seconds = seconds
    baseline = files.new(suite.name, measure.this_class(), environment(), found.values())
    files.write(path, baseline)
    return path, baseline


def baseline_here(name: str, folder: Path) -> tuple[Path, Baseline]:
    """The baseline that ``regress`` compares the suite ``name`` with on this machine.

    Raises :class:`UserError` where there is none, or no such suite.
    """
    stem = Path(name).name.removesuffix(".toml")
    check_folder(folder)
    path = files.find(folder, measure.this_class(), stem)
    if path is None:
        find(name)  # raises for a name that is no suite's
        raise UserError(f"no baseline of {stem} in {folder}; pdadmm-bench baseline record --suite {name} makes one")
    return path, files.read(path)
