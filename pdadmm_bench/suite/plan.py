"""Decides before the first run what becomes of every run of a suite: made, skipped, or finished already."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pdadmm_bench.core.env import cores, threads_per_worker
from pdadmm_bench.core.errors import DataError, UserError
from pdadmm_bench.core.rows import Row, status_of
from pdadmm_bench.core.spec import RECORDED_SPLITS, DataSpec, RunSpec
from pdadmm_bench.data.load import DataStatus, look_for, places_for
from pdadmm_bench.suite.estimate import RunEstimate, estimate
from pdadmm_bench.suite.file import Suite, filter_of
from pdadmm_bench.suite.identity import run_key
from pdadmm_bench.suite.results import Results
from pdadmm_bench.training.code_version import code_version
from pdadmm_bench.training.setup import resolve

Action = Literal["make", "finished", "skip"]


@dataclass(frozen=True, kw_only=True)
class PlanOptions:
    """Which runs are made, how many at once, and where their data come from."""

    jobs: int = 1
    force: bool = False
    failed_only: bool = False
    filters: tuple[str, ...] = ()
    data_root: Path | None = None
    cache: Path | None = None
    offline: bool = False


@dataclass
class PlannedRun:
    """One run of the suite, and what becomes of it."""

    spec: RunSpec
    settings: str
    code: str
    threads: int
    """Per worker."""
    found: DataStatus
    key: str = ""
    row: Row | None = None
    """The row that the results folder has of this run."""
    action: Action = "make"
    reason: str | None = None
    """Why it is skipped, or why it is made although it has rows."""
    estimate: RunEstimate | None = None

    @property
    def facts(self) -> dict[str, Any]:
        """Row values that identify the run within a suite."""
        return {"env_run_key": self.key, "env_code": self.code, "dataset_key": self.found.key}

    def look(self, results: Results, report: Callable[[str], None]) -> None:
        """Set the key, and read the row that the results folder has under it."""
        self.key = run_key(self.spec, self.settings, self.found.key or "absent", self.code)
        self.row = results.read(self.key, report)

    @property
    def finished(self) -> bool:
        """Whether this run has a row that is complete."""
        return self.row is not None and status_of(self.row).complete


@dataclass
class Plan:
    """The runs of a suite, in order."""

    suite: Suite
    every: list[PlannedRun] = field(default_factory=list)
    """All runs except those left out."""
    runs: list[PlannedRun] = field(default_factory=list)
    """The runs chosen by filters and ``--failed-only``."""
    left_out: dict[str, int] = field(default_factory=dict)
    """Absent datasets that the suite uses only where they are present, with the number of their runs."""

    def to_make(self) -> list[PlannedRun]:
        """The runs that are to be made."""
        return [run for run in self.runs if run.action == "make"]


def make_plan(suite: Suite, results: Results, options: PlanOptions, report: Callable[[str], None]) -> Plan:
    """Decide about every run of ``suite``; starts, fetches and writes nothing.

    Raises :class:`UserError` for filters that match nothing, and where ``jobs`` runs side by side need more cores than
    there are.
    """
    places_for(options.data_root, options.cache, options.offline, report)  # raises for a folder that no run could use
    chosen = _filtered(suite.specs, options.filters)
    earlier = _by_spec(results.every_row())
    codes: dict[str, str] = {}
    found: dict[DataSpec, DataStatus | DataError] = {}
    plan = Plan(suite)
    for settings, spec in suite.specs.items():
        rows = found.get(spec.data)
        if rows is None:
            rows = found[spec.data] = _look_for(spec.data, options)
        if isinstance(rows, DataStatus) and rows.missing and spec.data.dataset in suite.local_only:
            if settings in chosen:
                plan.left_out[spec.data.dataset] = plan.left_out.get(spec.data.dataset, 0) + 1
            continue
        if spec.optimizer not in codes:
            codes[spec.optimizer] = code_version(spec.optimizer)
        run = PlannedRun(
            spec=spec,
            settings=settings,
            code=codes[spec.optimizer],
            threads=threads_per_worker(spec.threads, spec.gpus * options.jobs),
            found=rows if isinstance(rows, DataStatus) else DataStatus(None, False, ()),
        )
        run.look(results, report)
        plan.every.append(run)
        failed = run.row is not None and status_of(run.row).exit_code != 0
        if settings in chosen and (failed or not options.failed_only):
            _decide(run, rows, options, earlier)
            plan.runs.append(run)
    _check_cores(plan.to_make(), options.jobs)
    estimates: dict[str, RunEstimate] = {}
    for run in plan.to_make():
        alike = run.spec.model_copy(update={"seed": 0}).model_dump_json()
        if alike not in estimates:
            estimates[alike] = estimate(run.spec, run.threads)
        run.estimate = estimates[alike]
    return plan


def _look_for(data: DataSpec, options: PlanOptions) -> DataStatus | DataError:
    try:
        return look_for(data, data_root=options.data_root, cache=options.cache)
    except DataError as error:
        return error


def _decide(run: PlannedRun, rows: DataStatus | DataError, options: PlanOptions, earlier: Mapping[str, Row]) -> None:
    if run.finished and not options.force:
        run.action = "finished"
        return
    run.reason = _cannot(run, rows, options)
    if run.reason:
        run.action = "skip"
    elif run.finished:
        run.reason = "again: --force"
    elif run.row is not None and run.row["status"] != "skipped":
        run.reason = f"again: {run.row['status']} before"
    elif (other := earlier.get(_spec_text(run.spec.flat()))) is not None:
        run.reason = _changed(run, other)


def _cannot(run: PlannedRun, rows: DataStatus | DataError, options: PlanOptions) -> str | None:
    """Why the run cannot be made on this machine, as far as that is known without trying."""
    spec = run.spec
    if isinstance(rows, DataError):
        return str(rows)
    if rows.missing and options.offline:
        also = f" and {len(rows.missing) - 1} more" if len(rows.missing) > 1 else ""
        return f"{spec.data.dataset} is not here ({rows.missing[0]}{also} absent), and --offline forbids fetching it"
    resolved = resolve(spec)
    reason = resolved.unsupported
    if reason:
        return reason
    needed = run.threads * spec.gpus
    if resolved.device.type == "cpu" and needed > cores() and spec.gpus > 1:
        return f"{_workers(run)} need {needed} cores, this machine has {cores()}: they would take turns"
    return None


def _workers(run: PlannedRun) -> str:
    each = f" with {run.threads} threads each" if run.threads > 1 else ""
    return f"{run.spec.gpus} workers{each}" if run.spec.gpus > 1 else f"{run.threads} threads"


def _check_cores(runs: Sequence[PlannedRun], jobs: int) -> None:
    if jobs == 1 or not runs:
        return
    for run in runs:
        if resolve(run.spec).device.type == "cuda":
            raise UserError(
                f"-j {jobs}: runs side by side would share a CUDA device; use -j 1, or device = 'cpu' in the suite"
            )
    largest = max(runs, key=lambda run: run.threads * run.spec.gpus)
    needed = largest.threads * largest.spec.gpus
    if needed * jobs > cores():
        fewer = max(1, cores() // needed)
        raise UserError(
            f"-j {jobs} needs {needed * jobs} cores for {jobs} runs side by side ({largest.spec.optimizer} has "
            f"{_workers(largest)}), this machine has {cores()}: use -j {fewer}"
            + (", or fewer threads" if largest.threads > 1 else "")
        )


def _changed(run: PlannedRun, other: Row) -> str:
    """Why a row with the same settings is not a row of this run."""
    if other.get("env_code") != run.code:
        return "again: the code changed"
    if other.get("dataset_key") != run.found.key:
        return "again: the data changed"
    return "again: hyperparameters, torch or device changed"


def _by_spec(rows: Sequence[Row]) -> dict[str, Row]:
    """Rows of complete runs by their settings, the latest of each."""
    found = {}
    for row in rows:
        if status_of(row).complete and row.get("spec"):
            found[_spec_text(json.loads(row["spec"]))] = row
    return found


def _spec_text(flat: Mapping[str, Any]) -> str:
    return json.dumps(flat, sort_keys=True, default=str)


def _filtered(specs: Mapping[str, RunSpec], texts: Sequence[str]) -> dict[str, RunSpec]:
    """The specs that agree with every ``KEY=VALUE``; ``KEY=A,B`` means either, and a run must have each."""
    chosen = dict(specs)
    for text in texts:
        key, value = filter_of(text)
        there = {name: _text(spec.flat()[key]) for name, spec in specs.items()}
        asked = _alternatives(key, value, set(there.values()))
        if nowhere := asked - set(there.values()):
            raise UserError(f"--filter {text}: no run has {_listed(nowhere)}; {key} is {_listed(set(there.values()))}")
        left = {there[name] for name in chosen}
        chosen = {name: spec for name, spec in chosen.items() if there[name] in asked}
        if not chosen:
            raise UserError(f"--filter {text}: no run has that; {key} is {_listed(left)} with the filters before it")
    return chosen


def _listed(values: Set[str]) -> str:
    return ", ".join(sorted(values))


def _alternatives(key: str, value: str, everywhere: Set[str]) -> set[str]:
    """``a,b`` as two values, unless a run has it as a single value with a comma in it (a dataset, a partition)."""
    if value in everywhere:
        return {value}
    values = {_text(_number(part.strip())) for part in value.split(",")}
    return {RECORDED_SPLITS.get(each, each) for each in values} if key == "split" else values


def _number(text: str) -> Any:
    try:
        return float(text)
    except ValueError:
        return text


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, (int, float)) else str(value).lower() if value is None else str(value)
