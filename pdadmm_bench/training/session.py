"""Runs a list of specs on one dataset with display and tracking around them, and keeps every row."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import typer

from pdadmm_bench.cli.views.live import LiveView
from pdadmm_bench.core import history as histories
from pdadmm_bench.core.env import environment
from pdadmm_bench.core.errors import UserError
from pdadmm_bench.core.files import check_writable
from pdadmm_bench.core.options import Output
from pdadmm_bench.core.rows import Row, exit_code, write_rows
from pdadmm_bench.core.spec import RunSpec
from pdadmm_bench.data.load import load_problem
from pdadmm_bench.data.problem import Problem
from pdadmm_bench.parallel.group import Group, check_world, joined, launched
from pdadmm_bench.tracking import Tracker, view_command
from pdadmm_bench.training.checkpoint import Checkpoints
from pdadmm_bench.training.in_workers import InStep, checkpoints_of, run_in_workers
from pdadmm_bench.training.observer import Observer
from pdadmm_bench.training.preflight import cautions, check
from pdadmm_bench.training.run import run as train
from pdadmm_bench.training.setup import choose_device


def execute(specs: list[RunSpec], output: Output) -> int:
    """Train every spec; returns the exit code: 0, 1 when a run failed, 130 after Ctrl-C.

    One worker trains in this process, several in processes of their own; under a launcher such as torchrun this process
    is one of the workers. What can be known to be wrong is raised as :class:`UserError` before the first run.
    """
    if launched():
        return _as_worker(specs, output)
    check(specs)
    with _session(specs, output) as (session, problem):
        if specs[0].gpus == 1:
            _train_all(specs, problem, session, Group(), checkpoints_of(output))
        else:
            del problem
            run_in_workers(specs, output, session.observers, session.keep)
    return session.exit_code()


def _as_worker(specs: list[RunSpec], output: Output) -> int:
    """The same under torchrun: every process joins the group, worker 0 displays and tracks."""
    world = check_world(specs[0].gpus)
    specs = [spec.model_copy(update={"gpus": world}) for spec in specs]
    check(specs)
    device = choose_device(specs[0].device, world).type
    if os.environ["RANK"] != "0":
        with joined(device, output.dist_timeout) as group:
            _train_all(specs, None, None, group, checkpoints_of(output))
        return 0
    with _session(specs, output) as (session, problem), joined(device, output.dist_timeout) as group:
        _train_all(specs, problem, session, group, checkpoints_of(output))
    return session.exit_code()


def _train_all(
    specs: Sequence[RunSpec], problem: Problem | None, session: _Session | None, group: Group,
    checkpoints: Checkpoints | None,
) -> None:  # fmt: skip
    for spec in specs:
        observer = InStep(session.observers() if session else (), group)
        result = train(spec, problem, [observer], group=group, checkpoints=checkpoints)
        if session:
            session.keep(result.row)
        if result.row["status"] == "interrupted":
            return
        # Alone, a failed run does not stop the next one; a group whose members disagree cannot go on.
        if result.error is not None and (group.size > 1 or os.environ.get("PDADMM_BENCH_DEBUG")):
            raise result.error


@dataclass
class _Session(Observer):
    """Display, tracking and rows of one invocation; itself the first observer of every run."""

    live: LiveView
    tracker: Tracker
    output: Output
    rows: dict[str, Row] = field(default_factory=dict)

    def observers(self) -> list[Observer]:
        """Those of one more run."""
        return [self, self.live, self.tracker.observer()]

    def finished(self, row: Row, history: Sequence[Mapping[str, float]]) -> None:
        """Write the row before anybody else sees it: a second Ctrl-C, while the store is written, cannot lose it."""
        if self.output.json_file:
            path = histories.beside_rows(self.output.json_file, row["run_id"])
            histories.keep(path, row["run_id"], history, self.live.warn)
        with contextlib.suppress(UserError):  # told by keep
            self._write(row)

    def keep(self, row: Row) -> None:
        """Write the rows; a disk that filled up meanwhile costs no training, and the row goes to stderr instead."""
        try:
            self._write(row)
        except UserError as error:
            self.live.warn(f"{error}; training goes on")
            typer.echo(json.dumps(row, ensure_ascii=False), err=True)

    def _write(self, row: Row) -> None:
        self.rows[row["run_id"]] = row
        if self.output.json_file:
            write_rows(self.output.json_file, self.rows.values())

    def exit_code(self) -> int:
        return exit_code(self.rows.values())


@contextlib.contextmanager
def _session(specs: Sequence[RunSpec], output: Output) -> Iterator[tuple[_Session, Problem]]:
    """Everything around the runs: checks and data first, then display and tracking, at the end the table."""
    live = LiveView(total=len(specs), quiet=output.quiet)
    for text in cautions(specs):
        live.warn(text)
    if output.json_file:
        check_writable(output.json_file)
    problem = load_problem(
        specs[0].data, data_root=output.data_root, cache=output.cache, offline=output.offline, report=live.report
    )
    name = f"{problem.name} {specs[0].model.layers}×{specs[0].model.hidden}"
    config = {"runs": [spec.flat() for spec in specs], **output.model_dump(mode="json")}
    files = [output.json_file] if output.json_file else []
    tracker = Tracker.open(
        output.tracking_uri, output.experiment, name, config, environment(), files=files, warn=live.warn
    )
    session = _Session(live, tracker, output)
    with live, tracker:
        if output.json_file:  # not before: rows of an earlier run outlive a run that cannot start
            write_rows(output.json_file, [])
            histories.forget(output.json_file)
        yield session, problem
    live.summary(list(session.rows.values()))
    live.note(f"compare the runs: {view_command(output.tracking_uri)}")
