"""The warm start: shallower networks are trained first, and each is deepened into the next one.

The workers of the first block train them, which have the features: each with the rows it has in the run. So worker 0
trains them alone where no rows are shared. Each stage has the same hyperparameters as the run, and its training seconds
are added to those of the run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pdadmm_bench.core.block import Block
from pdadmm_bench.core.rows import Row
from pdadmm_bench.core.spec import RunSpec, mesh_name, run_spec
from pdadmm_bench.models import mlp
from pdadmm_bench.models.deepen import deepened
from pdadmm_bench.parallel.group import Group
from pdadmm_bench.training.observer import Observer
from pdadmm_bench.training.setup import ResolvedRun


@dataclass(frozen=True)
class Trained:
    """The result of the stages, or the status with which one of them ended the run."""

    status: str
    """``ok``, or the status of the run."""
    reason: str | None = None
    layers: Sequence[mlp.Layer] = field(default_factory=list)
    """Starting weights of the whole network, on the CPU."""
    seconds: float = 0.0
    """Training seconds of all stages."""
    continued: bool = False
    """Whether a stage went on from a checkpoint."""


TrainStage = Callable[[RunSpec, Sequence[mlp.Layer], Observer], tuple[Row, Sequence[mlp.Layer]]]
"""Trains one stage from starting weights; returns its row and its trained layers."""


def first_layers(resolved: ResolvedRun) -> list[mlp.Layer]:
    """The starting weights of the shallowest network, on the CPU."""
    assert resolved.shape is not None
    spec, widths = resolved.spec, resolved.shape.widths
    model = spec.model.model_copy(update={"layers": spec.stages()[0][0]})
    sizes = mlp.widths(model, widths[0], widths[-1])
    return mlp.initial_layers(model, sizes, spec.seed, Block.whole(model.layers), resolved.shape.fan_in)


def train_stages(resolved: ResolvedRun, observers: Sequence[Observer], group: Group, train: TrainStage) -> Trained:
    """Train the stages of the run, one after the other, from :func:`first_layers`.

    Args:
        observers: those of the run.
        group: the workers that train them, each of which calls this.
    """
    spec = resolved.spec
    settings = spec.flat() | {
        "preset": "none", "set": resolved.optimizer.hyperparameters.model_dump(), "warm_start": "none",
        "gpus": group.size, "mesh": mesh_name(1, group.size), "partition": "auto", "target": None, "time_limit": None,
        "threads": resolved.threads,
    }  # fmt: skip
    layers: Sequence[mlp.Layer] = first_layers(resolved)
    seconds, continued = 0.0, False
    stages = spec.stages()
    depths = [*(depth for depth, _ in stages[1:]), spec.model.layers]
    for (depth, iterations), deeper in zip(stages, depths, strict=True):
        stage = run_spec({**settings, "layers": depth, "iterations": iterations, "eval_every": iterations})
        row, trained = train(stage, layers, StageObserver(observers, depth, group))
        continued |= row.get("env_continued_from") is not None
        if row["status"] != "ok":
            reason = f"warm start, {depth} layers: {row['status_reason']}"
            return Trained(row["status"], reason, seconds=seconds, continued=continued)
        seconds += row["time_train_s"]
        on_cpu = [mlp.Layer(*(tensor.cpu() for tensor in layer)) for layer in trained]
        layers = deepened(on_cpu, deeper, spec.deepening)
    return Trained("ok", layers=layers, seconds=seconds, continued=continued)


class StageObserver(Observer):
    """Passes the events of one warm-start stage on to the observers of the run, while the other workers of it wait."""

    def __init__(self, observers: Sequence[Observer], layers: int, group: Group):
        self._observers, self._layers, self._group = observers, layers, group

    def stepped(self, step: Mapping[str, Any]) -> None:
        for observer in self._observers:
            observer.on_warm_start_step(self._layers, step)
        self._group.follow()

    def on_message(self, text: str) -> None:
        for observer in self._observers:
            observer.on_message(text)
