"""``pdadmm-bench regress``: is this code worse than the baseline, or than another revision?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pdadmm_bench.cli.verbs.baseline import DEFAULT_FOLDER, Folder, SuiteName


def regress(
    suite: SuiteName = "ci",
    against: Annotated[
        str | None,
        typer.Option(metavar="REV", help="compare with this revision of the repository here, measured in turn"),
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="no times, at most 3 seeds, no MLflow")] = False,
    baselines: Folder = DEFAULT_FOLDER,
    markdown: Annotated[Path | None, typer.Option(help="write a summary fit for a pull request to this file")] = None,
    junit: Annotated[Path | None, typer.Option(help="write JUnit XML to this file")] = None,
    calibrate: Annotated[
        bool,
        typer.Option(
            "--calibrate", help="compare this code with itself, and report how often the gate errs; goes on with --json"
        ),
    ] = False,
    comparisons: Annotated[int, typer.Option(min=1, help="with --calibrate: how many, at least")] = 200,
    experiment: str | None = None,
    tracking_uri: str | None = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="write a row per benchmark and check, or the pairs of --calibrate")
    ] = None,
    data_root: Path | None = None,
    cache: Path | None = None,
    offline: bool | None = None,
    dist_timeout: float | None = None,
    quiet: bool | None = None,
) -> None:
    """Run the benchmarks of a suite and judge every one against its base.

    The base is the recorded baseline of this machine's class, or with --against another revision. A line per benchmark
    says ok, worse, better, new, missing or not comparable. Exit code 0: nothing got worse, 1: something did, 2:
    something could not be compared.
    """
    # This has to come first: at this point the local names are the options and nothing else.
    given = dict(locals())

    from pdadmm_bench.cli.early import check_output
    from pdadmm_bench.core.errors import UserError
    from pdadmm_bench.core.files import check_folder
    from pdadmm_bench.core.options import output_of
    from pdadmm_bench.suite.file import check

    output = output_of(given)
    check_output(output)
    check(suite)
    check_folder(baselines)

    from pdadmm_bench.cli.views.gate import show_calibration, show_report, teller

    if calibrate:
        from pdadmm_bench.gate.calibrate import calibrate as calibrate_gate

        if against or quick or markdown or junit:
            raise UserError(
                "--calibrate compares this code with itself: leave out --against, --quick, --markdown and --junit"
            )
        show_calibration(calibrate_gate(suite, comparisons, output, teller(output.quiet)))
        return
    from pdadmm_bench.gate.run import RegressOptions, run_regress

    options = RegressOptions(suite, against, quick, baselines, markdown, junit)
    raise typer.Exit(run_regress(options, output, teller(output.quiet), show_report))
