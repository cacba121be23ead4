"""``pdadmm-bench suite``: every run of a suite file, side by side or in turn, interrupted and continued."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pdadmm_bench.cli import complete


def suite(
    file: Annotated[
        str,
        typer.Argument(
            help="a suite file, or the name of a shipped one", metavar="FILE|NAME", autocompletion=complete.suites
        ),
    ],
    jobs: Annotated[int, typer.Option("--jobs", "-j", min=1, help="runs made side by side")] = 1,
    force: Annotated[bool, typer.Option("--force", help="make finished runs again")] = False,
    failed_only: Annotated[bool, typer.Option("--failed-only", help="make only the runs that failed before")] = False,
    filter_: Annotated[
        list[str] | None, typer.Option("--filter", metavar="KEY=VALUE", help="only runs with this setting; repeatable")
    ] = None,
    results: Annotated[
        Path | None, typer.Option(help="folder the rows are kept in [default: results/NAME]", show_default=False)
    ] = None,
    experiment: str | None = None,
    tracking_uri: str | None = None,
    data_root: Path | None = None,
    cache: Path | None = None,
    offline: bool | None = None,
    dist_timeout: float | None = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="show what would run, then stop")] = False,
    quiet: bool | None = None,
) -> None:
    """Make every run of a suite, tracked in MLflow under one parent run.

    A run that is finished (same configuration, data and code) is not made again: the same command goes on with a suite
    that was interrupted.
    """
    # This has to come first: at this point the local names are the options and nothing else.
    given = dict(locals())

    from pdadmm_bench.cli.early import check_output
    from pdadmm_bench.core.files import check_folder
    from pdadmm_bench.core.options import output_of
    from pdadmm_bench.suite.file import check

    output = output_of(given)
    check_output(output)
    check(file, filter_ or ())
    if results:
        check_folder(results)

    from pdadmm_bench.cli.views.suite import SuiteView
    from pdadmm_bench.suite.opening import SuiteOptions, run_suite

    options = SuiteOptions(file, jobs, force, failed_only, tuple(filter_ or ()), results)
    raise typer.Exit(run_suite(options, output, SuiteView(quiet=output.quiet)))
