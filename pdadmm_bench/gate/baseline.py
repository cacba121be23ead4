"""Baseline files: the evidence of a suite on one machine, kept under ``<machine-class>/<suite>.json``.

Losses and accuracies are kept to six digits, beyond which another processor rounds differently anyway.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pdadmm_bench.core.errors import UserError
from pdadmm_bench.core.files import check_folder, parse_json, write_atomic
from pdadmm_bench.gate.evidence import Benchmark, SeedRun

FORMAT = 1
_DIGITS = 6


@dataclass(frozen=True)
class Baseline:
    """The evidence of a side, with where and when it was recorded."""

    suite: str
    machine_class: str
    recorded: str
    environment: dict[str, Any]
    benchmarks: dict[str, Benchmark]

    @property
    def timed(self) -> bool:
        """Whether it has seconds."""
        return any(benchmark.seconds for benchmark in self.benchmarks.values())


def new(suite: str, machine_class: str, environment: Mapping[str, Any], benchmarks: Iterable[Benchmark]) -> Baseline:
    """A baseline recorded now."""
    recorded = datetime.now(UTC).isoformat(timespec="seconds")
    return Baseline(suite, machine_class, recorded, dict(environment), {item.name: item for item in benchmarks})


def path_of(folder: Path, machine_class: str, suite: str) -> Path:
    """Where the baseline of a machine class and suite is kept."""
    return folder / machine_class / f"{suite}.json"


def find(folder: Path, machine_class: str, suite: str) -> Path | None:
    """The baseline of this machine class, else the one of another class that was recorded last, else None."""
    own = path_of(folder, machine_class, suite)
    if own.is_file():
        return own
    others = sorted(folder.glob(f"*/{suite}.json"), key=lambda path: (read(path).recorded, str(path)))
    return others[-1] if others else None


def write(path: Path, baseline: Baseline) -> None:
    """Write the file, a line per run, so that a reader of a diff sees which one changed."""
    head = {
        "format": FORMAT, "suite": baseline.suite, "machine_class": baseline.machine_class,
        "recorded": baseline.recorded, "environment": baseline.environment,
    }  # fmt: skip
    lines = ["{"] + [f" {_dump(key)}: {_dump(value)}," for key, value in head.items()] + [' "benchmarks": {']
    blocks = [_block(benchmark) for benchmark in baseline.benchmarks.values()]
    write_atomic(path, "\n".join(lines) + "\n" + ",\n".join(blocks) + "\n }\n}\n")


def every_baseline(folder: Path) -> list[tuple[Path, Baseline]]:
    """All baselines below ``folder`` with their files; raises :class:`UserError` for a file in place of the folder."""
    check_folder(folder)
    return [(path, read(path)) for path in sorted(folder.glob("*/*.json"))]


def read(path: Path) -> Baseline:
    """The baseline in ``path``; raises :class:`UserError` for a file that is no baseline."""
    try:
        values = parse_json(path.read_bytes())
    except FileNotFoundError:
        raise UserError(f"no such baseline: {path}") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path} is not a baseline: {error}") from None
    if not isinstance(values, dict) or "benchmarks" not in values:
        raise UserError(f"{path} is not a baseline: it has no benchmarks; pdadmm-bench baseline record writes one")
    if values.get("format") != FORMAT:
        raise UserError(f"{path} has format {values.get('format')}, this program reads format {FORMAT}: record it anew")
    try:
        benchmarks = {name: _benchmark(name, item) for name, item in values["benchmarks"].items()}
        return Baseline(values["suite"], values["machine_class"], values["recorded"], values["environment"], benchmarks)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(
            f"{path} is not a complete baseline ({type(error).__name__}: {error}): record it anew"
        ) from None


def _block(benchmark: Benchmark) -> str:
    runs = [
        f"    {_dump(seed)}: {_dump({'row': _rounded(run.row), 'curve': _rounded(run.curve)})}"
        for seed, run in benchmark.runs.items()
    ]
    own = {
        "version": benchmark.version, "data": benchmark.data, "setting": benchmark.setting,
        "seconds": _rounded(benchmark.seconds),
    }  # fmt: skip
    head = [f"   {_dump(key)}: {_dump(value)}," for key, value in own.items()]
    return "\n".join([f"  {_dump(benchmark.name)}: {{", *head, '   "runs": {', ",\n".join(runs), "   }", "  }"])


def _benchmark(name: str, values: Mapping[str, Any]) -> Benchmark:
    runs = {
        seed: SeedRun(run["row"], tuple((int(i), float(loss), float(accuracy)) for i, loss, accuracy in run["curve"]))
        for seed, run in values["runs"].items()
    }
    found = Benchmark(name, values["setting"], runs, values["data"], [float(item) for item in values["seconds"]])
    if found.version != values["version"]:
        raise ValueError(f"{name}: setting and version disagree")
    if not runs:
        raise ValueError(f"{name}: no runs")
    for seed, run in runs.items():
        if run.finished and "acc_test_at_best_val" not in run.row:
            raise ValueError(f"{name}, seed {seed}: no accuracy")
    return found


def _dump(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.{_DIGITS}g}")
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    return [_rounded(item) for item in value] if isinstance(value, (list, tuple)) else value
