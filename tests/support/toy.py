"""A small problem that is made in memory, the runs on it, and observers of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from pdadmm_bench.core.rows import Row
from pdadmm_bench.core.spec import RunSpec, run_spec
from pdadmm_bench.data.problem import Problem, Rows
from pdadmm_bench.models.mlp import Layer
from pdadmm_bench.training.observer import Observer


def toy_problem(
    rows: int = 33, features: int = 12, classes: int = 3, seed: int = 0, spread: float = 2.0, sha256: str = ""
) -> Problem:
    """A problem with ``rows`` training rows, a Gaussian per class; ``spread`` is how far the classes are apart."""
    generator = torch.Generator().manual_seed(seed)
    centres = spread * torch.randn(classes, features, generator=generator)

    def part(count: int) -> Rows:
        y = torch.randint(classes, (count,), generator=generator)
        return Rows(x=centres[y] + torch.randn(count, features, generator=generator), y=y)

    parts = {name: part(count) for name, count in (("train", rows), ("val", 11), ("test", 13))}
    return Problem(name="toy", split="random", num_classes=classes, sha256=sha256, **parts)


def plain_network(layers: Sequence[Layer]) -> nn.Sequential:
    """The network with these weights in plain PyTorch: a linear module in every second place, ReLU between them."""
    modules: list[nn.Module] = []
    for layer in layers:
        linear = nn.Linear(layer.weight.shape[1], layer.weight.shape[0])
        linear.load_state_dict({"weight": layer.weight, "bias": layer.bias})
        modules += [linear, nn.ReLU()]
    return nn.Sequential(*modules[:-1])


def toy_spec(**values: Any) -> RunSpec:
    """Ten iterations of Adam on a network of three layers, unless ``values`` say otherwise."""
    small = {"layers": 3, "hidden": 8, "iterations": 10}
    return run_spec({**small, "optimizer": "adam", "preset": "none", "warm_start": "none", **values})


class Recorder(Observer):
    """Keeps everything that a run tells its observers."""

    def __init__(self) -> None:
        self.facts: Mapping[str, Any] = {}
        self.warm_start_steps: list[tuple[int, int]] = []
        self.steps: list[Mapping[str, float]] = []
        self.messages: list[str] = []
        self.rows: list[Row] = []

    def started(self, spec: RunSpec, facts: Mapping[str, Any]) -> None:
        self.facts = facts

    def on_warm_start_step(self, layers: int, step: Mapping[str, float]) -> None:
        self.warm_start_steps.append((layers, int(step["iteration"])))

    def stepped(self, step: Mapping[str, float]) -> None:
        self.steps.append(step)

    def on_message(self, text: str) -> None:
        self.messages.append(text)

    def finished(self, row: Row, history: Sequence[Mapping[str, float]]) -> None:
        self.rows.append(row)


class Crash(Recorder):
    """Ends a run in the middle of an iteration, of its training or of its warm start, as a crash would."""

    def __init__(self, at: int, in_warm_start: bool = False):
        super().__init__()
        self.at, self.in_warm_start = at, in_warm_start

    def on_warm_start_step(self, layers: int, step: Mapping[str, float]) -> None:
        super().on_warm_start_step(layers, step)
        if self.in_warm_start and step["iteration"] == self.at:
            raise RuntimeError("crash")

    def stepped(self, step: Mapping[str, float]) -> None:
        super().stepped(step)
        if not self.in_warm_start and step["iteration"] == self.at:
            raise RuntimeError("crash")
