"""``pdadmm-bench baseline``: what the regression gate compares with, recorded and shown."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pdadmm_bench.cli.command import ModelCommand

baseline = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Record or show what regress compares with.")

Folder = Annotated[Path, typer.Option(help="folder of the baselines, one below it per machine class")]
SuiteName = Annotated[str, typer.Option(help="a suite file, or the name of a shipped one")]
DEFAULT_FOLDER = Path("reports/baselines")


@baseline.command("record", cls=ModelCommand, context_settings={"max_content_width": 120})
def record(
    suite: SuiteName = "ci",
    baselines: Folder = DEFAULT_FOLDER,
    time: Annotated[bool, typer.Option("--time/--no-time", help="also measure seconds of an iteration")] = True,
    data_root: Path | None = None,
    cache: Path | None = None,
    offline: bool | None = None,
    dist_timeout: float | None = None,
    quiet: bool | None = None,
) -> None:
    """Run the benchmarks of a suite and write <machine-class>/<suite>.json.

    What is there is replaced. Nothing is written when a run fails.
    """
    # This has to come first: at this point the local names are the options and nothing else.
    given = dict(locals())

    from pdadmm_bench.cli.early import check_output
    from pdadmm_bench.core.files import check_folder
    from pdadmm_bench.core.options import output_of
    from pdadmm_bench.suite.file import check

    output = output_of(given)
    check_output(output)
    check(suite)
    check_folder(baselines)

    from pdadmm_bench.cli.views.gate import show_recorded, teller
    from pdadmm_bench.gate.record import record_baseline

    show_recorded(*record_baseline(suite, baselines, time, output, teller(output.quiet)))


@baseline.command("show", context_settings={"max_content_width": 120})
def show(
    suite: Annotated[
        str | None, typer.Option(help="a suite file, or the name of a shipped one [default: list all]")
    ] = None,
    baselines: Folder = DEFAULT_FOLDER,
) -> None:
    """List the baselines there are, or the benchmarks of one."""
    from pdadmm_bench.core.files import check_folder
    from pdadmm_bench.gate.baseline import every_baseline
    from pdadmm_bench.suite.file import find

    check_folder(baselines)
    if suite and not any(baselines.glob(f"*/{Path(suite).stem}.json")):
        find(suite)  # raises for a name that is no suite's
    recorded = [] if suite else every_baseline(baselines)  # a damaged file is refused before torch is imported

    from pdadmm_bench.cli.views.gate import show_baseline, show_baselines
    from pdadmm_bench.gate.record import baseline_here

    if suite is None:
        show_baselines(baselines, recorded)
    else:
        show_baseline(*baseline_here(suite, baselines))
