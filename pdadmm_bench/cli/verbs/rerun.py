"""``pdadmm-bench rerun``: makes the run of one row again and compares the numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def rerun(
    run_id: Annotated[str, typer.Argument(help="run_id of a row (its start is enough), or the id of its MLflow run")],
    rows: Annotated[Path | None, typer.Option(help="rows file the row is in")] = None,
    results: Annotated[
        Path | None, typer.Option(help="results folder of a suite [default: all in results/]", show_default=False)
    ] = None,
    tracking_uri: str | None = None,
    data_root: Path | None = None,
    cache: Path | None = None,
    offline: bool | None = None,
    dist_timeout: float | None = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="write the new row to this file")] = None,
    quiet: bool | None = None,
) -> None:
    """Repeat one run exactly, and say whether its numbers agree.

    Configuration, seed and data are the same. The row is looked for in --rows, in --results, else in the results
    folders of suites here and in the MLflow store.
    Exit code 0: they agree, 1: they differ.
    """
    # This has to come first: at this point the local names are the options and nothing else.
    given = dict(locals())

    from functools import partial

    from pdadmm_bench.cli.early import check_output
    from pdadmm_bench.core.options import output_of
    from pdadmm_bench.suite.row_places import RowPlaces, find_row

    output = output_of(given)
    check_output(output)
    row = find_row(run_id, RowPlaces(rows, results, tracking_uri))

    from pdadmm_bench.cli.views.live import LiveView
    from pdadmm_bench.suite.rerun import RerunView, rerun_row

    view = RerunView(say=typer.echo, report=partial(typer.echo, err=True), live=LiveView(quiet=output.quiet))
    raise typer.Exit(rerun_row(row, output, view))
