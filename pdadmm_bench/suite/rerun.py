"""Makes the run of a row again from the row alone, and compares the numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from pdadmm_bench.core.env import cores, environment
from pdadmm_bench.core.errors import UserError
from pdadmm_bench.core.files import check_writable
from pdadmm_bench.core.options import Output
from pdadmm_bench.core.rows import Row, status_of, write_rows
from pdadmm_bench.core.spec import RunSpec, recorded_spec, run_spec
from pdadmm_bench.data.cache import using_cache
from pdadmm_bench.data.load import load_problem
from pdadmm_bench.data.problem import Problem
from pdadmm_bench.optim import registry
from pdadmm_bench.report.units import seconds
from pdadmm_bench.training.code_version import code_version
from pdadmm_bench.training.in_workers import run_in_workers
from pdadmm_bench.training.preflight import check
from pdadmm_bench.training.run import Observer
from pdadmm_bench.training.run import run as train

#: The columns in which a run and its repetition are compared.
COMPARED = ("acc_test_at_best_val", "acc_val_best", "acc_test_final", "acc_val_final", "acc_train_final")

Say = Callable[[str], None]


@dataclass(frozen=True)
class RerunView:
    """Where :func:`rerun_row` sends its messages, and the observer of the run."""

    say: Say
    """Shows a line of the result."""
    report: Say
    """Shows the progress of preparing the data."""
    live: AbstractContextManager[Observer]
    """Entered while the run is made."""


def rerun_row(row: Row, output: Output, view: RerunView) -> int:
    """Make the run of ``row`` again and say whether its numbers agree; returns the exit code: 0, 1 where they differ,
    or 130.

    Raises :class:`UserError` where the run cannot be made here, or where the data differ.
    """
    if output.json_file:
        check_writable(output.json_file)
    spec = spec_of(row)
    check([spec])
    view.say(f"{_name(row)}, run {row['run_id']} of {row.get('created') or 'unknown date'}")
    view.say(_check_data(row, spec, output, view.report))
    for line in differences(row, spec):
        view.say(f"different now: {line}")
    new = _make(spec, output, view.live)
    if output.json_file:
        write_rows(output.json_file, [new])
    if new["status"] == "interrupted":
        return 130
    agree, lines = verdict(row, new)
    for line in lines:
        view.say(line)
    return 0 if agree else 1


def spec_of(row: Row) -> RunSpec:
    """The specification of the run of ``row``: with its hyperparameters, threads, device and partition, not defaults.

    Raises :class:`UserError` for a row without numbers to repeat, or of an optimizer or setting unknown here.
    """
    if not status_of(row).reproducible:
        reason = row.get("status_reason")
        raise UserError(
            f"the run ended as {row['status']}{f' ({reason})' if reason else ''}: there are no numbers to repeat; "
            "`pdadmm-bench suite NAME --failed-only` makes failed runs of a suite again"
        )
    if not row.get("spec"):
        raise UserError("the row does not carry its settings (spec), so the run cannot be repeated")
    settings = {**recorded_spec(row["spec"]), "preset": "none", "set": _hyperparameters(row)}
    settings |= {"device": row["dist_device"], "threads": row.get("dist_threads"), "gpus": row["dist_workers"]}
    if row["dist_workers"] > 1 and row.get("dist_partition"):
        settings["partition"] = row["dist_partition"]
    if row["status"] == "timeout":  # how far it came depended on the machine
        settings |= {"iterations": row["iterations"], "time_limit": None}
    return run_spec(settings)


def _hyperparameters(row: Row) -> dict[str, Any]:
    fields = registry.get(row["optimizer_name"]).Hyperparameters.model_fields
    return {name: row[f"optimizer_{name}"] for name in fields if f"optimizer_{name}" in row}


def differences(row: Row, spec: RunSpec) -> Iterable[str]:
    """The changes of code and machine since the row was made, as ``name: then → now``; none of them stops the run."""
    now = {**environment(), "env_code": code_version(spec.optimizer)}
    names = {
        "env_code": "code", "env_commit": "commit", "env_dirty": "uncommitted changes", "env_torch": "torch",
        "env_python": "Python", "env_cpu": "processor", "env_gpu": "accelerator",
    }  # fmt: skip
    if row.get("env_code") == now["env_code"]:
        del names["env_commit"], names["env_dirty"]  # changes elsewhere do not touch this run
    for name, text in names.items():
        if name in row and row[name] != now[name]:
            yield f"{text}: {row[name]} → {now[name]}"
    if "env_code" not in row:
        yield "code: the row does not name the version of its parts, only the commit"
    for name in registry.get(spec.optimizer).Hyperparameters.model_fields:
        if f"optimizer_{name}" not in row:
            yield f"hyperparameter {name}: unknown then → its default"
    if spec.device == "cpu" and (spec.threads or 1) * spec.gpus > cores():
        yield f"cores: {spec.gpus} workers with {spec.threads} threads each → {cores()} cores (slower, not other)"


def verdict(row: Row, new: Row) -> tuple[bool, list[str]]:
    """Whether the numbers of two rows of one run agree, and what to say about it."""
    then, now = row.get("weights_sha256"), new.get("weights_sha256")
    lines = [f"time per iteration: {_time(row)} then, {_time(new)} now (not compared)"]
    if new["status"] != row["status"] and row["status"] != "timeout":
        reason = f" ({new['status_reason']})" if new.get("status_reason") else ""
        return False, [*lines, f"differs: the run ended as {row['status']} then, as {new['status']}{reason} now"]
    if then is not None and then == now:
        return True, [*lines, f"agrees: the weights are equal bit by bit (sha256 {then[:12]})"]
    both = [name for name in COMPARED if row.get(name) is not None and new.get(name) is not None]
    apart = [name for name in both if row[name] != new[name]]
    if not both:
        return False, [*lines, "differs: the weights are not equal, and there is no accuracy to compare"]
    weights = "the row has no hash of its weights" if then is None else "the weights are not equal bit by bit"
    if not apart:
        return True, [*lines, f"agrees: every accuracy is equal; {weights}"]
    lines += [f"{name}: {row[name]:.4f} then, {new[name]:.4f} now ({new[name] - row[name]:+.4f})" for name in apart]
    return False, [*lines, f"differs: {len(apart)} of {len(both)} accuracies; {weights}"]


def _check_data(row: Row, spec: RunSpec, output: Output, report: Say) -> str:
    """Load the data, check that they are those of the row, and return a sentence about them."""
    problem = _load(spec, output, report)
    if problem.sha256 != row.get("dataset_sha256"):
        raise UserError(
            f"the data are not those of the row: {spec.data.dataset} has sha256 {problem.sha256[:12]}… here, "
            f"{str(row.get('dataset_sha256'))[:12]}… there; name the data root it came from with --data-root"
        )
    return f"same data: {problem.name}, sha256 {problem.sha256[:12]}…"


def _make(spec: RunSpec, output: Output, live: AbstractContextManager[Observer]) -> Row:
    rows: list[Row] = []
    with using_cache(output.cache), live as observer:
        if spec.gpus > 1:
            run_in_workers([spec], output, lambda: [observer], rows.append)
        else:
            problem = _load(spec, output, lambda line: None)  # every line was reported by the first load
            rows.append(train(spec, problem, [observer]).row)
    return rows[0]


def _load(spec: RunSpec, output: Output, report: Say) -> Problem:
    return load_problem(
        spec.data, data_root=output.data_root, cache=output.cache, offline=output.offline, report=report
    )


def _name(row: Row) -> str:
    network = f"{row['model_layers']}×{row['model_hidden']}"
    return f"{row['optimizer_name']} {row['dataset_name']} {network} seed {row['seed']}"


def _time(row: Row) -> str:
    return seconds(row.get("time_iteration_median_s"))
