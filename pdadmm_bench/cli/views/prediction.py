"""The view of ``predict``: the strong-scaling table, with the machine it is predicted for."""

from __future__ import annotations

import typer

from pdadmm_bench.cli.views.console import show
from pdadmm_bench.parallel.cost import Machine
from pdadmm_bench.report.tables.scaling import scaling_table
from pdadmm_bench.timing.predict import Predicted
from pdadmm_bench.timing.predict_options import PredictOptions


def show_prediction(options: PredictOptions, found: Predicted) -> None:
    """Print the table of the predicted rows, and the sources of a machine that is not this one."""
    alone, shared, preset = found.alone, found.shared, found.preset
    batches = f", mini-batches of {options.batch_size} rows" if options.batch_size else ""
    title = (
        f"PREDICTED, not measured: {options.rows:,} rows, {options.features} features, {options.hidden} units, "
        f"{options.classes} classes{batches}; {_rates(alone)}"
    )
    if shared != alone:
        title += f"; one of several workers {_rates(shared)}"
    if max(options.workers) > 1:
        title += f"; link {alone.bandwidth_bytes_per_s / 1e9:,.4g} GB/s, {alone.latency_s * 1e6:,.4g} µs"
    show(scaling_table(title, found.rows, published=preset is not None))
    if preset is None:
        return
    typer.echo(f"Machine: {preset.source}.")
    typer.echo(
        "Published: arXiv 2105.09837 (pdADMM-G), against the authors' own serial run of the same method; how the "
        "gradient methods were parallelised is not said. Speedups here are against the predicted single worker."
    )
    large = [row for row in found.rows if row["memory_state_bytes"] > preset.memory_bytes]
    if large:
        typer.echo(
            f"{len(large)} of {len(found.rows)} rows would not fit: their state alone exceeds the "
            f"{preset.memory_bytes / 2**30:.0f} GiB of one GPU."
        )


def _rates(machine: Machine) -> str:
    return f"{machine.flops_per_s / 1e9:,.4g} GFLOP/s, memory {machine.memory_bytes_per_s / 1e9:,.4g} GB/s"
