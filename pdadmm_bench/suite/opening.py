"""Carries out the command ``suite``: plan, folder, tracker and scheduler, and the messages at the end."""

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

from pdadmm_bench.core.env import environment
from pdadmm_bench.core.errors import UserError
from pdadmm_bench.core.files import check_folder
from pdadmm_bench.core.launcher import launched
from pdadmm_bench.core.options import Output
from pdadmm_bench.core.rows import STATUSES
from pdadmm_bench.data.cache import cache_folder, writing
from pdadmm_bench.suite.file import Suite, find, read
from pdadmm_bench.suite.labels import runs
from pdadmm_bench.suite.plan import Plan, PlanOptions, make_plan
from pdadmm_bench.suite.progress import SuiteProgress
from pdadmm_bench.suite.results import STORE, Results, default_folder, trial_folder
from pdadmm_bench.suite.scheduler import Scheduler
from pdadmm_bench.suite.unsynced import kept_run
from pdadmm_bench.tracking import view_command
from pdadmm_bench.tracking.suite import SuiteTracker
from pdadmm_bench.training.preflight import cautions, check


@dataclass(frozen=True)
class SuiteOptions:
    """The options of ``suite`` that are not those of ``run``."""

    file: str
    """A suite file, or the name of a shipped suite."""
    jobs: int
    """How many runs are made at once."""
    force: bool
    failed_only: bool
    filters: tuple[str, ...]
    folder: Path | None
    """Where the rows are kept; None for the suite's own folder."""


def run_suite(options: SuiteOptions, output: Output, progress: SuiteProgress) -> int:
    """Show the plan and make its runs; returns the exit code: 0, 1 when a run failed, 130 after Ctrl-C.

    Raises :class:`UserError` for a file, a filter or a folder that cannot be used.
    """
    if launched():
        raise UserError("a suite starts the workers of its runs itself: call it without torchrun")
    path = find(options.file)
    suite = read(path)
    check(list(suite.specs.values()))
    folder = options.folder or (default_folder(suite.name) if suite.save else trial_folder(suite.name, output.cache))
    check_folder(folder)
    fresh = not suite.save and options.folder is None
    if not suite.save:
        progress.warn(
            f"{suite.name} is for trying out: none of its numbers is to be quoted, and rows and MLflow runs are kept "
            f"apart, in {folder}" + (", until it is started again" if fresh else "")
        )
    with _emptied(folder, output) if fresh and not output.dry_run else contextlib.nullcontext():
        # A real start would find an empty folder. So the plan of a dry run looks into one that does not exist.
        results = Results(folder / "next" if fresh and output.dry_run else folder)
        plan = make_plan(suite, results, _plan_options(options, output), progress.warn)
        if not plan.runs:
            return _nothing(plan, options, progress)
        for text in sorted({text for run in plan.to_make() for text in cautions([run.spec])}):
            progress.warn(text)
        progress.plan(plan, options.jobs, f"rows in {folder}", output.dry_run)
        if output.dry_run:
            return 0
        return _make(plan, results, options, output, progress, path, fresh)


def _plan_options(options: SuiteOptions, output: Output) -> PlanOptions:
    return PlanOptions(
        jobs=options.jobs,
        force=options.force,
        failed_only=options.failed_only,
        filters=options.filters,
        data_root=output.data_root,
        cache=output.cache,
        offline=output.offline,
    )


def _make(
    plan: Plan, results: Results, options: SuiteOptions, output: Output, progress: SuiteProgress, path: Path,
    fresh: bool,
) -> int:  # fmt: skip
    """Make the runs, gather their rows, and say where everything is."""
    results.prepare()
    with _tracker(plan, results, options, output, progress, path) as tracker:
        scheduler = Scheduler(plan, results, tracker, progress, output, options.jobs, options.force)
        if tracker:
            tracker.kept = lambda: [
                kept_run(results, run.key, row, tracker.parent_id)
                for run in plan.every
                if (row := results.read(run.key)) is not None
            ]
        try:
            code = scheduler.run()
        finally:
            with results.alone():
                file = results.gather(run.key for run in plan.every)
                if tracker:  # again, because the folder may have been deleted meanwhile
                    results.note_parent(plan.suite.version, tracker.parent_id)
    progress.summary([row for run in plan.runs if (row := results.read(run.key) or scheduler.rows.get(run.key))])
    made = Counter(row["status"] for row in scheduler.rows.values())
    progress.note(", ".join(f"{count} {status}" for status, count in made.items()) or "nothing was left to make")
    if failed := sum(count for status, count in made.items() if STATUSES[status].failed):
        again = "" if fresh else f"; {_command(options)} --failed-only makes them again"
        progress.warn(f"{failed} of {runs(len(plan.runs))} failed{again}")
    if code == 130:
        progress.note(f"interrupted; {_command(options)} {'begins anew' if fresh else 'goes on from here'}")
    progress.note(f"rows: {file}")
    if tracker:
        progress.note(f"compare the runs: {view_command(_uri(plan.suite, results, output))}")
    source = results.folder if options.folder or (fresh and output.cache) else plan.suite.name
    progress.note(f"tables and pictures: pdadmm-bench report {shlex.quote(str(source))} --format all")
    return code


def _nothing(plan: Plan, options: SuiteOptions, progress: SuiteProgress) -> int:
    """Handle a plan without a run: fine after ``--failed-only``, else an error, since every dataset is absent."""
    if options.failed_only:
        progress.note(f"no run of {plan.suite.name} has failed")
        return 0
    absent = ", ".join(plan.left_out)
    raise UserError(
        f"{plan.suite.name} has no run for this machine: {absent} are not here; pdadmm-bench prepare fetches them"
    )


@contextlib.contextmanager
def _emptied(folder: Path, output: Output) -> Iterator[None]:
    """Empty ``folder``, which has the files of the last try, and lock it until this try has ended."""
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
    plan: Plan, results: Results, options: SuiteOptions, output: Output, progress: SuiteProgress, path: Path
) -> Iterator[SuiteTracker | None]:
    """The tracker of the suite's parent run; None where nothing is to be tracked."""
    suite = plan.suite
    if not (plan.to_make() or any(results.noted(run.key) for run in plan.runs)):
        yield None
        return
    config: dict[str, Any] = {"suite": suite.name, "suite_version": suite.version, "file": path.read_text("utf-8")}
    config |= {"runs": [run.spec.flat() for run in plan.runs], **output.model_dump(mode="json")}
    tags = {"suite": suite.name, "suite_version": suite.version, "concurrency": str(options.jobs)}
    with results.alone():
        tracker = SuiteTracker.resume(
            _uri(suite, results, output), output.experiment, f"suite {suite.name}", config, environment(),
            results=results.folder, parent=None if options.force else results.parent(suite.version), tags=tags,
            warn=progress.warn,
        )  # fmt: skip
        results.note_parent(suite.version, tracker.parent_id)
    with tracker:
        yield tracker


def _uri(suite: Suite, results: Results, output: Output) -> str | None:
    """The MLflow store; a suite for trying out has its own, beside its rows."""
    return output.tracking_uri if suite.save else f"sqlite:///{results.folder.absolute() / STORE}"


def _command(options: SuiteOptions) -> str:
    """The command that starts the suite again."""
    return f"pdadmm-bench suite {options.file}" + (f" --results {options.folder}" if options.folder else "")
