"""Runs a list of specs on one dataset with display and tracking around them, and keeps every row."""

from __future__ import annotations

import os
from pathlib import Path

import typer

from pdadmm_bench.cli.live import LiveView
from pdadmm_bench.cli.run import FAILURES, Output
from pdadmm_bench.core.env import environment
from pdadmm_bench.core.errors import UserError
from pdadmm_bench.core.rows import Row, write_rows
from pdadmm_bench.core.spec import RunSpec
from pdadmm_bench.data.load import load_problem
from pdadmm_bench.runner import choose_device, make_optimizer
from pdadmm_bench.runner import run as train
from pdadmm_bench.track import Tracker, view_command


def execute(specs: list[RunSpec], output: Output) -> int:
    """Train every spec; returns the exit code: 0, 1 when a run failed, 130 after Ctrl-C.

    Everything that can be known to be wrong is raised as :class:`UserError` before the first run starts.
    """
    choose_device(specs[0].device)
    cautions = {f"{spec.optimizer}: {text}" for spec in specs for text in make_optimizer(spec).cautions()}
    live = LiveView(total=len(specs), quiet=output.quiet)
    for text in sorted(cautions):
        live.warn(text)
    if output.json_file:
        write_rows(output.json_file, [])
    problem = load_problem(
        specs[0].data,
        data_root=output.data_root,
        cache=output.cache,
        offline=output.offline,
        report=live.note,
    )
    rows: list[Row] = []
    name = f"{problem.name} {specs[0].model.layers}×{specs[0].model.hidden}"
    config = {"runs": [spec.flat() for spec in specs], **output.model_dump(mode="json")}
    opened = Tracker.open(output.tracking_uri, output.experiment, name, config, environment(), warn=live.warn)
    with live, opened as tracker:
        for spec in specs:
            result = train(spec, problem, [live, tracker.observer()])
            rows.append(result.row)
            if output.json_file:
                _keep(output.json_file, rows, live)
            if isinstance(result.error, KeyboardInterrupt):
                break
            if result.error is not None and os.environ.get("PDADMM_BENCH_DEBUG"):
                raise result.error
    live.summary(rows)
    live.note(f"compare the runs: {view_command(output.tracking_uri)}")
    statuses = [row["status"] for row in rows]
    if "interrupted" in statuses:
        return 130
    return int(any(status in FAILURES for status in statuses))


def _keep(path: Path, rows: list[Row], live: LiveView) -> None:
    """Write the rows; a disk that filled up meanwhile is said but costs no training."""
    try:
        write_rows(path, rows)
    except UserError as error:
        live.warn(f"{error}; training goes on")
        typer.echo(rows[-1], err=True)
