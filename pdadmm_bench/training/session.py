"""A session: runs on one dataset, one after the other, with their display, tracking and rows."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch

from pdadmm_bench.core import history as histories
from pdadmm_bench.core.errors import UserError
from pdadmm_bench.core.files import check_writable
from pdadmm_bench.core.launcher import check_world, launched
from pdadmm_bench.core.names import command_name
from pdadmm_bench.core.options import Output
from pdadmm_bench.core.rows import Row, write_rows
from pdadmm_bench.core.spec import RunSpec, run_spec
from pdadmm_bench.data.cache import cache_folder, scratch, using_cache
from pdadmm_bench.data.load import load_problem
from pdadmm_bench.data.problem import Problem
from pdadmm_bench.data.stored import write
from pdadmm_bench.parallel.supervisor import supervising
from pdadmm_bench.training.checkpoint import Checkpoints
from pdadmm_bench.training.in_workers import checkpoints_of, run_in_workers, work_along
from pdadmm_bench.training.observer import Observer
from pdadmm_bench.training.preflight import cautions, check, mesh_remark, remarks
from pdadmm_bench.training.run import run
from pdadmm_bench.training.setup import resolve


class SessionView(Observer, Protocol):
    """The display of a session: an observer of every run, and a context manager around all of them."""

    def __enter__(self) -> SessionView: ...

    def __exit__(self, *error: Any) -> None: ...

    def note(self, message: str) -> None:
        """Show a line."""

    def warn(self, message: str) -> None:
        """Show a warning."""

    def report(self, message: str) -> None:
        """Show a line of the data layer: a warning where it begins with ``warning: ``."""

    def summary(self, rows: Sequence[Row]) -> None:
        """Show the table of all rows."""


class RunTracker(Protocol):
    """Records the runs of a session elsewhere, such as in MLflow."""

    def observer(self) -> Observer:
        """The observer of one more run."""


class Tracking(Protocol):
    """How a session is tracked."""

    def open(
        self, name: str, config: Mapping[str, Any], output: Output, view: SessionView
    ) -> AbstractContextManager[RunTracker]:
        """The tracker of a session called ``name``; raises :class:`UserError` where it can never work."""

    def view_command(self, output: Output) -> str | None:
        """The command that shows what was tracked; None where nothing was."""

    def page_command(self, output: Output) -> str | None:
        """The command that makes a page of what was tracked; None where nothing was."""


class NoTracking:
    """A session that is tracked nowhere; itself the tracker, whose observers do nothing."""

    def open(
        self, name: str, config: Mapping[str, Any], output: Output, view: SessionView
    ) -> AbstractContextManager[RunTracker]:
        """The tracker."""
        return contextlib.nullcontext(self)

    def observer(self) -> Observer:
        """An observer that does nothing."""
        return _Nothing()

    def view_command(self, output: Output) -> str | None:
        """None: nothing was tracked."""
        return None

    def page_command(self, output: Output) -> str | None:
        """None: nothing was tracked."""
        return None


class _Nothing(Observer):
    pass


def train_specs(
    specs: Sequence[RunSpec], output: Output, view: SessionView, tracking: Tracking, problem: Problem | None = None
) -> list[Row]:
    """Train every spec; returns the rows, of which a worker under torchrun that is not the first has none.

    One worker trains in this process, several in processes of their own; under a launcher such as torchrun this process
    supervises one of them. Errors that can be known before the first run are raised as :class:`UserError`.

    Args:
        problem: what all specs train on; default: it is loaded as their ``data`` say.
    """
    world = check_world(specs[0].gpus) if launched() else None
    if world:
        specs = [run_spec({**spec.flat(), "gpus": world}) for spec in specs]
    check(specs, len(problem.train.x) if problem else None)
    device = resolve(specs[0]).device
    supervision = supervising(output.dist_timeout) if world else contextlib.nullcontext()
    with using_cache(output.cache), supervision as supervisor:
        if supervisor and supervisor.rank > 0:
            work_along(specs, output, device, supervisor)
            return []
        given = problem
        with _session(specs, output, view, tracking, given) as (session, problem):
            if specs[0].gpus == 1 and not supervisor:
                _train_all(specs, problem, session, device, checkpoints_of(output))
            else:
                shared = given is not None or any(spec.may_split_rows for spec in specs)
                stored = _stored(problem, output) if shared else contextlib.nullcontext()
                del problem
                with stored as path:
                    run_in_workers(specs, output, session.observers, session.keep, device, path, supervisor)
    return list(session.rows.values())


@contextlib.contextmanager
def _stored(problem: Problem, output: Output) -> Iterator[Path]:
    """``problem`` as a file of the cache, for as long as workers may read it."""
    cache = cache_folder(output.cache)
    with scratch(cache) as folder:
        write(folder / "problem.pt", problem, cache)
        del problem
        yield folder / "problem.pt"


def _train_all(
    specs: Sequence[RunSpec], problem: Problem, session: Session, device: torch.device, checkpoints: Checkpoints | None
) -> None:
    """Train every spec in this process; a failed run does not stop the next one."""
    for spec in specs:
        result = run(spec, problem, session.observers(), checkpoints=checkpoints, device=device)
        session.keep(result.row)
        if result.row["status"] == "interrupted":
            return
        if result.error is not None and os.environ.get("PDADMM_BENCH_DEBUG"):
            raise result.error


@dataclass
class Session(Observer):
    """Display, tracking and rows of one invocation; itself the first observer of every run."""

    view: SessionView
    tracker: RunTracker
    output: Output
    rows: dict[str, Row] = field(default_factory=dict)

    def observers(self) -> list[Observer]:
        """The observers of one more run."""
        return [self, self.view, self.tracker.observer()]

    def finished(self, row: Row, history: Sequence[Mapping[str, float]]) -> None:
        """Write the row before the tracker does its work, so that a second Ctrl-C during that cannot lose the row."""
        if self.output.json_file:
            path = histories.beside_rows(self.output.json_file, row["run_id"])
            histories.keep(path, row["run_id"], history, self.view.warn)
        with contextlib.suppress(UserError):  # keep() reports it
            self._write(row)

    def keep(self, row: Row) -> None:
        """Write the rows. A full disk does not stop the training: the row is then printed to stderr."""
        try:
            self._write(row)
        except UserError as error:
            self.view.warn(f"{error}; training goes on")
            print(json.dumps(row, ensure_ascii=False), file=sys.stderr, flush=True)

    def _write(self, row: Row) -> None:
        self.rows[row["run_id"]] = row
        if self.output.json_file:
            write_rows(self.output.json_file, self.rows.values())


@contextlib.contextmanager
def _session(
    specs: Sequence[RunSpec], output: Output, view: SessionView, tracking: Tracking, problem: Problem | None
) -> Iterator[tuple[Session, Problem]]:
    """Everything around the runs: checks and data first, then display and tracking, and the table at the end."""
    for text in cautions(specs):
        view.warn(text)
    if problem is None and (remark := mesh_remark(specs)):
        view.note(remark)
    if output.json_file:
        check_writable(output.json_file)
    problem = problem or load_problem(
        specs[0].data, data_root=output.data_root, cache=output.cache, offline=output.offline, report=view.report
    )
    config = {"runs": [spec.flat() for spec in specs], **output.model_dump(mode="json")}
    opened = tracking.open(command_name(specs), config, output, view)
    with view, opened as tracker:
        session = Session(view, tracker, output)
        if output.json_file:  # only now, so that a run that cannot start deletes no earlier rows
            write_rows(output.json_file, [])
            histories.forget(output.json_file)
        yield session, problem
    view.summary(list(session.rows.values()))
    for text in remarks(specs):
        view.note(f"the default preset of {text}")
    if command := tracking.view_command(output):
        view.note(f"compare the runs: {command}")
        if output.json_file:
            page = f"pdadmm-bench report {shlex.quote(str(output.json_file))} --format html"
            view.note(f"a page with their tables and pictures: {page}")
        else:
            view.note(f"a page with tables and pictures of the experiment: {tracking.page_command(output)}")
