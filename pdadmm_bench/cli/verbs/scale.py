"""``pdadmm-bench scale``: iteration times of 1, 2, … workers, measured in turn, as a strong-scaling table."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from pdadmm_bench.cli import complete
from pdadmm_bench.core.errors import UserError


def scale(
    workers: Annotated[str, typer.Option(help="numbers of workers")] = "1,2",
    layers: Annotated[str, typer.Option(help="numbers of linear layers")] = "8",
    optimizer: Annotated[
        list[str] | None, typer.Option(help="repeatable [default: pdadmm, adam]", autocompletion=complete.optimizers)
    ] = None,
    schedule: Annotated[str, typer.Option(help="pipelines of the gradient methods")] = "gpipe,1f1b",
    dataset: Annotated[
        str | None, typer.Option(help="train on this dataset's rows", autocompletion=complete.datasets)
    ] = None,
    rows: Annotated[int | None, typer.Option(min=1, help="or on generated data: training rows")] = None,
    features: Annotated[int, typer.Option(min=1, help="generated data: input features")] = 640,
    classes: Annotated[int, typer.Option(min=2, help="generated data: classes")] = 40,
    hidden: Annotated[int, typer.Option(min=1, help="units per hidden layer")] = 256,
    mesh: Annotated[
        list[str] | None,
        typer.Option(
            help="layers, rows, or both as in layers=2,rows=2; repeatable, measured in turn [default: layers]"
        ),
    ] = None,
    partition: Annotated[str, typer.Option(help="auto, even, or layers as in 4,4")] = "auto",
    wire: Annotated[
        str, typer.Option(help="auto, fp32, bf16 or uint8; an optimizer that cannot send it is an error")
    ] = ("auto"),
    microbatches: Annotated[
        str | None, typer.Option(help="per pipelined step, or auto: the fastest of a few [default: 4 × workers]")
    ] = None,
    batch_size: Annotated[int, typer.Option(min=0, help="rows of a mini-batch of the gradient methods; 0: all")] = 0,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="hyperparameter rho=1e-3, or adam.lr=1e-3; repeatable")
    ] = None,
    threads: Annotated[
        int | None,
        typer.Option(min=1, max=1024, help="CPU threads of each worker [default: OMP_NUM_THREADS, or cores // most]"),
    ] = None,
    iterations: Annotated[int, typer.Option(min=1, help="timed iterations per measurement")] = 5,
    repeats: Annotated[int, typer.Option(min=1, help="measurements of each configuration, interleaved")] = 5,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda")] = "auto",
    dist_timeout: Annotated[
        float,
        typer.Option(
            min=1, help="seconds without a sign of life after which a worker is lost, and an exchange has failed"
        ),
    ] = 300.0,
    data_root: Annotated[Path | None, typer.Option(help="folder of raw graphs")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="write the table's rows to this file")] = None,
) -> None:
    """Measure how an iteration's time falls with the number of workers.

    Every worker has as many threads as the single one. Without --dataset, the shape options give generated data.
    """
    from pdadmm_bench.cli.early import check_names
    from pdadmm_bench.core.files import check_writable
    from pdadmm_bench.core.options import assignments

    if (dataset is None) == (rows is None):
        raise UserError("say what to train on: either --dataset NAME or --rows N (with --features and --classes)")
    check_names(optimizer or (), [dataset])
    counts, depths = _numbers("workers", workers), _numbers("layers", layers)
    if json_file:
        check_writable(json_file)

    from pdadmm_bench.cli.views import console
    from pdadmm_bench.core.env import threads_per_worker
    from pdadmm_bench.core.files import write_atomic
    from pdadmm_bench.parallel.launch import Interrupted, WorkerFailure
    from pdadmm_bench.report.tables.scaling import scaling_table
    from pdadmm_bench.timing.generated import generated_name, generated_problem
    from pdadmm_bench.timing.scaling import measure, scaling_points
    from pdadmm_bench.training.setup import check_batch_size

    common = {"hidden": hidden, "wire": wire, "microbatches": microbatches, "device": device, "warm_start": "none"}
    common |= {"batch_size": batch_size, "set": assignments(set_ or [])}
    common |= {"threads": threads_per_worker(threads, max(counts)), "dataset": dataset or "sbm"}
    points = scaling_points(
        {**common, "partition": partition}, optimizers=optimizer or ["pdadmm", "adam"],
        layers=depths, schedules=schedule.split(","), workers=counts, meshes=mesh or ["layers"],
    )  # fmt: skip
    if rows is None:
        from pdadmm_bench.data.load import load_problem

        load = partial(load_problem, points[0].spec.data, data_root=data_root)
        data = load().name  # here, where a download can show its progress
        load = partial(load, report=_say_nothing)
    else:
        check_batch_size(points[0].spec, rows)
        data = generated_name(rows, features, classes)
        load = partial(generated_problem, rows, features, classes)
    try:
        table = measure(points, load, repeats=repeats, iterations=iterations, timeout=dist_timeout)
    except WorkerFailure as failure:
        typer.secho(f"error: the measurement failed: {failure}", fg="red", err=True)
        raise typer.Exit(1) from None
    except Interrupted:
        raise typer.Exit(130) from None
    table = [{**row, "dataset_name": data} for row in table]
    if json_file:
        import json

        write_atomic(json_file, json.dumps(table, indent=1) + "\n")
    first = table[0]
    batches = f", mini-batches of {batch_size} rows" if batch_size else ""
    title = (
        f"strong scaling{batches}, measured on {first['dist_device']}: {first['dist_threads']} threads per worker, "
        f"{first['env_cores']} cores; median of {first['n']} interleaved repetitions [95 % interval]"
    )
    console.show(scaling_table(title, table))


def _numbers(what: str, text: str) -> list[int]:
    try:
        numbers = sorted({int(part) for part in text.split(",")})
    except ValueError:
        numbers = []
    if not numbers or numbers[0] < 1:
        raise UserError(f"--{what} {text!r}: give whole numbers from 1 on with commas between, such as 1,2,4")
    return numbers


def _say_nothing(line: str) -> None:
    """The parent process has shown the same lines."""
