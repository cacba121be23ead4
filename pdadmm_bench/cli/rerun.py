"""``pdadmm-bench rerun``: one row again, and whether its numbers come out the same."""

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
    """Repeat exactly one run: same configuration, seed and data, and say whether its numbers agree.

    The row is looked for in --rows, in --results, else in the results folders of suites here and in the MLflow store.
    Exit code 0: they agree, 1: they differ.
    """
    # First of all, while the local names are the options and nothing else.
    given = {name: value for name, value in locals().items() if value is not None}

    from pdadmm_bench.cli.options import Output
    from pdadmm_bench.cli.repeat import Source, repeat
    from pdadmm_bench.core.typed import build

    output = build(Output, {name: value for name, value in given.items() if name in Output.model_fields}, "option")
    raise typer.Exit(repeat(run_id, Source(rows, results, tracking_uri), output))
