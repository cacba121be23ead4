"""What ``pdadmm-bench predict`` computes and shows."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import typer
from pydantic import Field, field_validator

from pdadmm_bench.core import resources as share
from pdadmm_bench.core.typed import Typed, build, read_toml
from pdadmm_bench.parallel.cost import (
    GENERIC,
    PROFILES,
    Machine,
    Prediction,
    layer_costs,
    microbatches_for,
    predict_iteration,
)
from pdadmm_bench.parallel.partition import partition

PUBLISHED = "reports/published/speedup.toml"


@dataclass(frozen=True)
class Preset:
    """A machine by data sheet: rates, memory per worker, and where they come from."""

    machine: Machine
    memory_bytes: int
    source: str


ACHIEVED_FLOPS, ACHIEVED_MEMORY = 0.6, 0.75
"""Assumed share of a GPU's peak that matrix products and elementwise operations reach; no measurement of ours."""
PRESETS = {
    "k80": Preset(
        Machine(
            flops_per_s=ACHIEVED_FLOPS * 8.74e12 / 2,
            memory_bytes_per_s=ACHIEVED_MEMORY * 480e9 / 2,
            bandwidth_bytes_per_s=12e9,
            latency_s=1e-5,
        ),
        memory_bytes=12 * 2**30,
        source=(
            "one of the two GPUs of a Tesla K80 board (NVIDIA, 2014: 8.74 TFLOP/s float32 with boost, 480 GB/s and "
            f"24 GB per board); assumed: {ACHIEVED_FLOPS:.0%} and {ACHIEVED_MEMORY:.0%} of these peaks are reached, "
            "PCIe 3.0 x16 moves 12 of its 15.75 GB/s, 10 µs latency"
        ),
    )
}


class Question(Typed):
    """What to predict."""

    workers: list[int]
    layers: list[int]
    hidden: int = Field(gt=0)
    rows: int = Field(gt=0)
    features: int = Field(gt=0)
    classes: int = Field(gt=1)
    optimizer: list[str]
    partition: str
    wire: Literal["auto", "fp32", "bf16", "uint8"]
    schedule: list[Literal["gpipe", "1f1b"]]
    microbatches: int | None = Field(gt=0)
    machine: Literal["this", "k80"]
    threads: int = Field(gt=0)
    flops: float | None = Field(gt=0)
    memory_bandwidth: float | None = Field(gt=0)
    bandwidth: float | None = Field(gt=0)
    latency: float | None = Field(ge=0)

    @field_validator("workers", "layers", mode="before")
    @classmethod
    def _numbers(cls, value: Any) -> list[int]:
        try:
            numbers = [int(part) for part in value.split(",")]
        except ValueError:
            raise ValueError("give whole numbers with commas between, such as 4,8,16") from None
        if min(numbers) < 1 or len(set(numbers)) != len(numbers):
            raise ValueError("give each number once, from 1 on")
        return numbers

    @field_validator("layers")
    @classmethod
    def _deep(cls, layers: list[int]) -> list[int]:
        if min(layers) < 2:
            raise ValueError("a network has at least 2 layers")
        return layers

    def widths(self, layers: int) -> list[int]:
        """[n_0, …, n_L]."""
        return [self.features, *[self.hidden] * (layers - 1), self.classes]


def answer(values: dict[str, Any], json_file: Path | None) -> None:
    """Print the table for the options ``values``, and write its rows to ``json_file`` if there is one."""
    question = build(Question, values, "option")

    from pdadmm_bench.core.files import check_writable
    from pdadmm_bench.core.rows import write_rows

    if json_file:
        check_writable(json_file)
    _check_optimizers(question.optimizer)
    _rows(question, Machine(1.0, 1.0, 1.0, 0.0))  # says what is wrong with the question before anything is measured
    rates = _machine(question)
    found = _rows(question, rates)
    _show(question, rates, found)
    if json_file:
        write_rows(json_file, found)


def _check_optimizers(names: list[str]) -> None:
    from pdadmm_bench.optim import registry

    for name in names:
        if name not in registry.names():
            registry.get(name)  # raises with the valid names
        if name not in PROFILES:
            typer.secho(f"{name} declares no cost profile: pdadmm's is assumed", fg="yellow", err=True)


def _machine(question: Question) -> Machine:
    """The rates that the command line gives, and for the others the preset's or this machine's own."""
    options = {
        "flops_per_s": question.flops,
        "memory_bytes_per_s": question.memory_bandwidth,
        "bandwidth_bytes_per_s": question.bandwidth,
        "latency_s": question.latency,
    }
    given = {name: rate for name, rate in options.items() if rate is not None}
    if question.machine in PRESETS:
        return replace(PRESETS[question.machine].machine, **given)
    return Machine(**(given if len(given) == len(options) else {**_measured(question, given), **given}))


def _measured(question: Question, given: Collection[str]) -> dict[str, float]:
    """This machine's rates apart from those ``given``."""
    from pdadmm_bench.timing import machine as rates

    rows, width, threads = question.rows, question.hidden, question.threads
    found = {"bandwidth_bytes_per_s": math.inf, "latency_s": 0.0}
    if "flops_per_s" not in given:
        found["flops_per_s"] = rates.product_rate(rows, width, threads)
    if "memory_bytes_per_s" not in given:
        found["memory_bytes_per_s"] = rates.memory_rate(rows, width, threads)
    if max(question.workers) > 1 and not {"bandwidth_bytes_per_s", "latency_s"} <= set(given):
        found["bandwidth_bytes_per_s"], found["latency_s"] = rates.link_rate(rates.FLOAT_BYTES * rows * width)
    return found


def _rows(question: Question, machine: Machine) -> list[dict[str, Any]]:
    """One row per optimizer, schedule, depth and number of workers."""
    rows = []
    for name in question.optimizer:
        pipelined = PROFILES.get(name, GENERIC).parallelism == "pipeline"
        for schedule in question.schedule if pipelined else [None]:
            for layers in question.layers:
                single = _prediction(question, machine, name, schedule, layers, 1)
                for workers in question.workers:
                    prediction = _prediction(question, machine, name, schedule, layers, workers)
                    speedup = single.iteration_s / prediction.iteration_s
                    rows.append(
                        {
                            "predicted": True,
                            "optimizer_name": name,
                            "schedule": schedule,
                            "model_layers": layers,
                            "model_hidden": question.hidden,
                            "dist_workers": workers,
                            "dist_partition": ",".join(str(len(worker.block)) for worker in prediction.workers),
                            "time_iteration_median_s": prediction.iteration_s,
                            "speedup": speedup,
                            "efficiency": speedup / workers,
                            "time_exposed_share": prediction.exposed_share,
                            "bytes_per_boundary": prediction.boundary_bytes,
                            "memory_state_bytes": prediction.state_bytes,
                            "memory_scratch_bytes": max(worker.scratch_bytes for worker in prediction.workers),
                            "published_speedups": published(name, layers, question.hidden, workers),
                        }
                    )
    return rows


def _prediction(
    question: Question, machine: Machine, name: str, schedule: str | None, layers: int, workers: int
) -> Prediction:
    profile, widths = PROFILES.get(name, GENERIC), question.widths(layers)
    text = question.partition if workers > 1 else "even"
    return predict_iteration(
        profile,
        widths,
        question.rows,
        partition(text, layer_costs(profile, widths, question.rows), workers),
        machine,
        wire=profile.wire if question.wire == "auto" else question.wire,
        schedule=schedule or "gpipe",
        microbatches=question.microbatches or microbatches_for(workers),
    )


def published(optimizer: str, layers: int, hidden: int, workers: int) -> dict[str, float]:
    """Speedups that papers report for this optimizer on this network and number of workers, by dataset."""
    path = share.find(PUBLISHED)
    found: dict[str, float] = {}
    for table in read_toml(path)["speedup"] if path else []:
        if table["kind"] == "workers" and (table["layers"], table["hidden"]) == (layers, hidden):
            for method in table["methods"]:
                if method["optimizer"] == optimizer and workers in table["workers"]:
                    found[table["dataset"]] = method["speedups"][table["workers"].index(workers)]
        elif table["kind"] == "layers" and (table["workers"], table["hidden"]) == (workers, hidden):
            for dataset in table["datasets"]:
                if table["optimizer"] == optimizer and layers in table["layers"]:
                    found.setdefault(dataset["dataset"], dataset["speedups"][table["layers"].index(layers)])
    return found


def _show(question: Question, machine: Machine, rows: list[dict[str, Any]]) -> None:
    from pdadmm_bench.cli.views import console
    from pdadmm_bench.report.tables.scaling import scaling_table

    title = (
        f"PREDICTED, not measured: {question.rows:,} rows, {question.features} features, {question.hidden} units, "
        f"{question.classes} classes; {machine.flops_per_s / 1e9:,.4g} GFLOP/s, memory "
        f"{machine.memory_bytes_per_s / 1e9:,.4g} GB/s, link {machine.bandwidth_bytes_per_s / 1e9:,.4g} GB/s, "
        f"{machine.latency_s * 1e6:,.4g} µs"
    )
    preset = PRESETS.get(question.machine)
    console.show(scaling_table(title, rows, published=preset is not None))
    if preset is None:
        return
    typer.echo(f"Machine: {preset.source}.")
    typer.echo(
        "Published: arXiv 2105.09837 (pdADMM-G), against the authors' own serial run of the same method; how the "
        "gradient methods were parallelised is not said. Speedups here are against the predicted single worker."
    )
    large = [row for row in rows if row["memory_state_bytes"] > preset.memory_bytes]
    if large:
        typer.echo(
            f"{len(large)} of {len(rows)} rows would not fit: their state alone exceeds the "
            f"{preset.memory_bytes / 2**30:.0f} GiB of one GPU."
        )
