"""``pdadmm-bench predict``: the strong-scaling table of a network that nobody has run, from the cost model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pdadmm_bench.cli import complete


def predict(
    workers: Annotated[str, typer.Option(help="numbers of workers")] = "1,2,4,8,16",
    layers: Annotated[str, typer.Option(help="numbers of linear layers")] = "16",
    hidden: Annotated[int, typer.Option(help="units per hidden layer")] = 4000,
    rows: Annotated[int, typer.Option(help="training rows (default: ogbn-arxiv's)")] = 90941,
    features: Annotated[int, typer.Option(help="input features, hops included")] = 640,
    classes: Annotated[int, typer.Option(help="classes")] = 40,
    optimizer: Annotated[
        list[str] | None, typer.Option(help="repeatable [default: pdadmm]", autocompletion=complete.optimizers)
    ] = None,
    mesh: Annotated[
        list[str] | None,
        typer.Option(help="layers, rows, or both as in layers=2,rows=2; repeatable [default: layers]"),
    ] = None,
    partition: Annotated[str, typer.Option(help="auto, even, or layers as in 4,4,4,4")] = "auto",
    wire: Annotated[str, typer.Option(help="auto, fp32, bf16 or uint8, for every optimizer")] = "auto",
    schedule: Annotated[
        list[str] | None,
        typer.Option(help="gpipe, 1f1b or zero-bubble; repeatable [default: gpipe]"),
    ] = None,
    microbatches: Annotated[int | None, typer.Option(help="per pipelined step [default: 4 × workers]")] = None,
    batch_size: Annotated[int, typer.Option(help="rows of a mini-batch of the gradient methods; 0: all")] = 0,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="hyperparameter step=exact, or ddg.blocks=4; repeatable")
    ] = None,
    machine: Annotated[str, typer.Option(help="this (its rates are measured) or k80")] = "this",
    threads: Annotated[int, typer.Option(help="CPU threads of each worker, when measuring")] = 1,
    flops: Annotated[float | None, typer.Option(help="float32 matrix products, operations/s")] = None,
    memory_bandwidth: Annotated[float | None, typer.Option(help="elementwise operations, bytes/s")] = None,
    bandwidth: Annotated[float | None, typer.Option(help="of a link between workers, bytes/s")] = None,
    latency: Annotated[float | None, typer.Option(help="of a link between workers, s")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="write the rows to this file")] = None,
) -> None:
    """Predict time, traffic and memory of 1 to G workers by the cost model; nothing is trained."""
    values = {name: value for name, value in locals().items() if name not in ("json_file", "set_")}
    values |= {"optimizer": optimizer or ["pdadmm"], "schedule": schedule or ["gpipe"], "mesh": mesh or ["layers"]}
    from pdadmm_bench.cli.early import check_names
    from pdadmm_bench.core.files import check_writable
    from pdadmm_bench.core.options import assignments
    from pdadmm_bench.core.rows import write_rows
    from pdadmm_bench.core.typed import build
    from pdadmm_bench.timing.predict_options import PredictOptions

    values["set"] = assignments(set_ or [])
    options = build(PredictOptions, values, "option")
    check_names(options.optimizer)
    if json_file:
        check_writable(json_file)

    from pdadmm_bench.cli.views.prediction import show_prediction
    from pdadmm_bench.timing.predict import run_predict

    found = run_predict(options, lambda text: typer.secho(text, fg="yellow", err=True))
    show_prediction(options, found)
    if json_file:
        write_rows(json_file, found.rows)
