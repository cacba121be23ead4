"""From the options of ``suite`` to its runs and back: plan, folder, tracker, session, and what is said at the end."""

from __future__ import annotations

import contextlib
import shlex
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from pdadmm_bench.cli.views import console
from pdadmm_bench.cli.views.suite import SuiteView
from pdadmm_bench.cli.views.suite_plan import runs, show_plan
from pdadmm_bench.core.env import environment
from pdadmm_bench.core.errors import UserError
from pdadmm_bench.core.options import Output
from pdadmm_bench.core.rows import STATUSES
from pdadmm_bench.data.cache import cache_folder, writing
from pdadmm_bench.parallel.group import launched
from pdadmm_bench.suite.file import Suite, find, read
from pdadmm_bench.suite.plan import Choice, Plan, make_plan
from pdadmm_bench.suite.results import STORE, Results, default_folder, trial_folder
from pdadmm_bench.suite.scheduler import Session
from pdadmm_bench.tracking import view_command
from pdadmm_bench.tracking.suite import SuiteTracker
from pdadmm_bench.training.preflight import cautions, check


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
    folder = request.folder or (default_folder(suite.name) if suite.save else trial_folder(suite.name, output.cache))
    fresh = not suite.save and request.folder is None
    if not suite.save:
        view.warn(
            f"{suite.name} is for trying out: none of its numbers is to be quoted, and rows and MLflow runs are kept "
            f"apart, in {folder}" + (", until it is started again" if fresh else "")
        )
    with _emptied(folder, output) if fresh and not output.dry_run else contextlib.nullcontext():
        # Nothing of the last try is finished in the next one, which an empty folder says, too.
        results = Results(folder / "next" if fresh and output.dry_run else folder)
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
        where = f"rows in {folder}"
        if output.dry_run:
            show_plan(plan, request.jobs, f"{where}; nothing started", console.stdout())
            return 0
        if not output.quiet:
            show_plan(plan, request.jobs, where, _wide(view))
        return _make(plan, results, request, output, view, path, fresh)


def _make(
    plan: Plan, results: Results, request: Request, output: Output, view: SuiteView, path: Path, fresh: bool
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
    if failed := sum(count for status, count in made.items() if STATUSES[status].failed):
        again = "" if fresh else f"; {_command(request)} --failed-only makes them again"
        view.warn(f"{failed} of {runs(len(plan.runs))} failed{again}")
    if code == 130:
        view.note(f"interrupted; {_command(request)} {'begins anew' if fresh else 'goes on from here'}")
    view.note(f"rows: {file}")
    if tracker:
        view.note(f"compare the runs: {view_command(_uri(plan.suite, results, output))}")
    source = results.folder if request.folder or (fresh and output.cache) else plan.suite.name
    view.note(f"tables and pictures: pdadmm-bench report {shlex.quote(str(source))} --format all")
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
def _emptied(folder: Path, output: Output) -> Iterator[None]:
    """``folder`` without what the last try left in it, and not for another one before this one is over."""
    lock = FileLock(f"{folder}.lock", timeout=0)
    with writing(cache_folder(output.cache)):
        folder.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire()
        except Timeout:
            raise UserError(
                f"another process tries {folder.name} out in {folder}: wait for it, or name another folder (--results)"
            ) from None
    try:
        with writing(cache_folder(output.cache)):
            if folder.exists():
                shutil.rmtree(folder)
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def _tracker(
    plan: Plan, results: Results, request: Request, output: Output, view: SuiteView, path: Path
) -> Iterator[SuiteTracker | None]:
    """The suite's parent run; None where nothing is to be tracked."""
    suite = plan.suite
    if not (plan.to_make() or any(results.noted(run.key) for run in plan.runs)):
        yield None
        return
    config: dict[str, Any] = {"suite": suite.name, "suite_version": suite.version, "file": path.read_text("utf-8")}
    config |= {"runs": [run.spec.flat() for run in plan.runs], **output.model_dump(mode="json")}
    tags = {"suite": suite.name, "suite_version": suite.version, "concurrency": str(request.jobs)}
    with results.alone():
        tracker = SuiteTracker.resume(
            _uri(suite, results, output), output.experiment, f"suite {suite.name}", config, environment(),
            results=results.folder, parent=None if request.force else results.parent(suite.version), tags=tags,
            warn=view.warn,
        )  # fmt: skip
        results.note_parent(suite.version, tracker.parent)
    with tracker:
        yield tracker


def _uri(suite: Suite, results: Results, output: Output) -> str | None:
    """The MLflow store: a try has its own, beside its rows."""
    return output.tracking_uri if suite.save else f"sqlite:///{results.folder.absolute() / STORE}"


def _command(request: Request) -> str:
    return f"pdadmm-bench suite {request.file}" + (f" --results {request.folder}" if request.folder else "")


def _wide(view: SuiteView) -> Any:
    """The view's console, which off a terminal would fold a table to 80 columns."""
    if view.stderr.is_terminal:
        return view.stderr
    from rich.console import Console

    return Console(stderr=True, width=200)
