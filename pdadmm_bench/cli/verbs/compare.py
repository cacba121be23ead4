"""``pdadmm-bench compare``: paired differences between two sets of runs, with a verdict per line."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def compare(
    a: Annotated[str, typer.Argument(metavar="A", help="rows file, MLflow run id, or experiment: the reference")],
    b: Annotated[str, typer.Argument(metavar="B", help="the same, of what the verdicts speak about")],
    only_a: Annotated[
        list[str] | None, typer.Option("--a", help="only these rows of A, as in optimizer=pdadmm; repeatable")
    ] = None,
    only_b: Annotated[
        list[str] | None, typer.Option("--b", help="only these rows of B, as in optimizer=adam; repeatable")
    ] = None,
    metric: Annotated[
        list[str] | None,
        typer.Option(help="column of the rows; repeatable [default: test accuracy, iteration time, time to a target]"),
    ] = None,
    by: Annotated[
        str | None, typer.Option(help="settings that make a line, as in dataset,layers [default: all but the seeds]")
    ] = None,
    smallest_points: Annotated[float, typer.Option(min=0, max=100, help="accuracy differences up to here are none")] = (
        0.5
    ),
    smallest_percent: Annotated[
        float, typer.Option(min=0, help="differences of times and sizes up to here are none")
    ] = (2.0),
    apart: Annotated[
        bool, typer.Option("--apart", help="judge times although A and B were not measured in turn: a quiet machine's")
    ] = False,
    tracking_uri: Annotated[str | None, typer.Option(help="MLflow store; else MLFLOW_TRACKING_URI, else mlflow.db")] = (
        None
    ),
    json_file: Annotated[Path | None, typer.Option("--json", help="write the table to this file")] = None,
) -> None:
    """Compare runs over the same problems and seeds: B against A.

    A line says better, faster and the like only if the 95 % interval leaves out no difference, a sign-flip test
    corrected for the number of lines (Holm) rejects at 5 %, and the difference is larger than --smallest-points or
    --smallest-percent; of times, only if A and B were measured in turn. Exit code 0, whatever the verdicts.
    """
    from pdadmm_bench.cli.views.comparison import Question, answer

    answer(
        Question(
            a, b, only_a or [], only_b or [], metric or [], by, smallest_points / 100, smallest_percent / 100, apart
        ),
        tracking_uri,
        json_file,
    )
