"""From the options of ``suite`` to its runs and back: plan, folder, tracker, session, and what is said at the end."""

from __future__ import annotations

import contextlib
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pdadmm_bench.cli import console
from pdadmm_bench.cli.execute import cautions, check
from pdadmm_bench.cli.options import Output
from pdadmm_bench.cli.suite_plan import runs, show_plan
from pdadmm_bench.cli.suite_session import Session
from pdadmm_bench.cli.suite_view import SuiteView
from pdadmm_bench.core.env import environment
from pdadmm_bench.core.errors import UserError
from pdadmm_bench.core.rows import FAILURES
from pdadmm_bench.dist.group import launched
from pdadmm_bench.suite.file import find, read
from pdadmm_bench.suite.plan import Choice, Plan, make_plan
from pdadmm_bench.suite.results import Results, default_folder
from pdadmm_bench.track import view_command
from pdadmm_bench.track.suite import SuiteTracker


@dataclass(frozen=True)
class Request:
    """The options of ``suite`` that are not those of ``run``."""

    file: str
    jobs: int
    force: bool
    failed_only: bool
    filters: tuple[str, ...]
    folder: Path | None


def start(request: Request, output: Output) -> int:
    """Show the plan and make its runs; returns the exit code."""
    if launched():
        raise UserError("a suite starts the workers of its runs itself: call it without torchrun")
    path = find(request.file)
    suite = read(path)
    check(list(suite.specs.values()))
    view = SuiteView(quiet=output.quiet)
    saved = suite.save or request.folder is not None
    if not suite.save:
        where = f"no MLflow, and rows only because --results names {request.folder}" if saved else "no rows, no MLflow"
        view.warn(f"{suite.name} is for trying out: its numbers are shown and not kept ({where})")
    with _folder(request, suite.name, saved) as folder:
        results = Results(folder)
        choice = Choice(
            jobs=request.jobs,
            force=request.force,
            failed_only=request.failed_only,
            filters=request.filters,
            data_root=output.data_root,
            cache=output.cache,
            offline=output.offline,
        )
        plan = make_plan(suite, results, choice, view.warn)
        if not plan.runs:
            return _nothing(plan, request, view)
        for text in sorted({text for run in plan.to_make() for text in cautions([run.spec])}):
            view.warn(text)
        where = f"rows in {folder}" if saved else "nothing is saved"
        if output.dry_run:
            show_plan(plan, request.jobs, f"{where}; nothing started", console.stdout())
            return 0
        if not output.quiet:
            show_plan(plan, request.jobs, where, _wide(view))
        return _make(plan, results, request, output, view, path, saved)


def _make(
    plan: Plan, results: Results, request: Request, output: Output, view: SuiteView, path: Path, saved: bool
) -> int:
    results.prepare()
    with _tracker(plan, results, request, output, view, path) as tracker:
        session = Session(plan, results, tracker, view, output, request.jobs, request.force)
        if tracker:
            tracker.rows = lambda: [row for run in plan.every if (row := results.read(run.key))]
        try:
            code = session.run()
        finally:
            with results.alone():
                file = results.gather(run.key for run in plan.every)
    view.summary([row for run in plan.runs if (row := results.read(run.key) or session.rows.get(run.key))])
    made = Counter(row["status"] for row in session.rows.values())
    view.note(", ".join(f"{count} {status}" for status, count in made.items()) or "nothing was left to make")
    if failed := sum(made[status] for status in FAILURES):
        view.warn(f"{failed} of {runs(len(plan.runs))} failed; {_command(request)} --failed-only makes them again")
    if code == 130:
        view.note(f"interrupted; {_command(request)} goes on from here")
    if saved:
        view.note(f"rows: {file}")
    if tracker:
        view.note(f"compare the runs: {view_command(output.tracking_uri)}")
    return code


def _nothing(plan: Plan, request: Request, view: SuiteView) -> int:
    if request.failed_only:
        view.note(f"no run of {plan.suite.name} has failed")
        return 0
    absent = ", ".join(plan.left_out)
    raise UserError(
        f"{plan.suite.name} has no run for this machine: {absent} are not here; pdadmm-bench prepare fetches them"
    )


@contextlib.contextmanager
def _folder(request: Request, name: str, saved: bool) -> Iterator[Path]:
    if saved:
        yield request.folder or default_folder(name)
        return
    with tempfile.TemporaryDirectory(prefix="pdadmm-bench-") as folder:
        yield Path(folder)


@contextlib.contextmanager
def _tracker(
    plan: Plan, results: Results, request: Request, output: Output, view: SuiteView, path: Path
) -> Iterator[SuiteTracker | None]:
    """The suite's parent run; None where nothing is to be tracked."""
    suite = plan.suite
    if not suite.save or not (plan.to_make() or any(results.noted(run.key) for run in plan.runs)):
        yield None
        return
    config: dict[str, Any] = {"suite": suite.name, "suite_version": suite.version, "file": path.read_text("utf-8")}
    config |= {"runs": [run.spec.flat() for run in plan.runs], **output.model_dump(mode="json")}
    tags = {"suite": suite.name, "suite_version": suite.version, "concurrency": str(request.jobs)}
    with results.alone():
        tracker = SuiteTracker.resume(
            output.tracking_uri, output.experiment, f"suite {suite.name}", config, environment(),
            run_id=None if request.force else results.parent(suite.version), tags=tags, warn=view.warn,
        )  # fmt: skip
        results.note_parent(suite.version, tracker.run_id)
    with tracker:
        yield tracker


def _command(request: Request) -> str:
    return f"pdadmm-bench suite {request.file}" + (f" --results {request.folder}" if request.folder else "")


def _wide(view: SuiteView) -> Any:
    """The view's console, which off a terminal would fold a table to 80 columns."""
    if view.stderr.is_terminal:
        return view.stderr
    from rich.console import Console

    return Console(stderr=True, width=200)
