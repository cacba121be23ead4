"""Random networks, problems, partitions and wires: several workers must give what one gives.

The search runs inside workers that are already there. All of them draw the same examples, since the draws depend on
nothing but the strategy, and all of them learn how an example went before the next one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from crew import Outcome, alone, settings, steps_of, together
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from toy import toy_problem

from pdadmm_bench.core.spec import RunSpec
from pdadmm_bench.parallel.group import Workers

EXAMPLES = 6
"""Of each optimizer."""

penalties = st.sampled_from([1e-4, 1e-2, 0.3])
rules = {
    "step": st.sampled_from(["layer", "row-unit", "exact-W", "exact"]),
    "bias": st.sampled_from(["update", "projected"]),
}
starts = st.sampled_from(["zero", "costate"])
hyperparameters = {
    "pdadmm": st.fixed_dictionaries({"rho": penalties, "nu": penalties, "start": starts, **rules}),
    "pdadmm-q": st.fixed_dictionaries(
        {"rho": penalties, "levels": st.integers(2, 600), "quantize": st.sampled_from("pq"), "start": starts, **rules}
    ),
    "dladmm": st.fixed_dictionaries({"rho": penalties, "nu": penalties, **rules}),
    "pdadmm-m": st.fixed_dictionaries(
        {"rho": penalties, "nu": penalties, "step": st.sampled_from(["layer", "exact-W", "exact"])}
    ),
    "pdadmm-c": st.fixed_dictionaries(
        {"nu": st.sampled_from([10.0, 30.0]), "momentum": st.sampled_from([0.0, 0.5]), "blocks": st.integers(1, 4)}
    ),
}


@dataclass
class Example:
    """A run and the shape of its problem."""

    spec: RunSpec
    shape: dict[str, int]


@st.composite
def examples(draw: Any, optimizer: str) -> Example:
    """An ADMM on any partition of a small network."""
    workers = draw(st.integers(2, 4))
    blocks = draw(st.lists(st.integers(1, 3), min_size=workers, max_size=workers))
    spec = settings(
        optimizer=optimizer,
        set=draw(hyperparameters[optimizer]),
        wire=draw(st.sampled_from(["fp32", "bf16"])) if optimizer == "pdadmm" else "auto",
        layers=sum(blocks),
        hidden=draw(st.integers(1, 20)),
        init=draw(st.sampled_from(["normal", "he", "identity"])),
        gpus=workers,
        partition=draw(st.sampled_from(["auto", "even", ",".join(map(str, blocks))])),
        seed=draw(st.integers(0, 99)),
        iterations=2,
    )
    shape = {"rows": st.integers(1, 40), "features": st.integers(1, 20), "classes": st.integers(2, 5)}
    return Example(spec, {name: draw(values) for name, values in shape.items()})


meshed = {
    "adam": st.fixed_dictionaries({"lr": st.sampled_from([1e-3, 1e-2])}),
    **{name: hyperparameters[name] for name in ("pdadmm", "dladmm", "pdadmm-m", "pdadmm-c")},
}
"""Of optimizers on meshes. Without pdadmm-q, whose values in a finite set may jump where a worker with all rows rounds
otherwise."""
CLOSE = {"layer": 1e-3, "row-unit": 1e-3, "exact-W": 3e-2, "exact": 3e-2}
"""Of a weight's norm. Exact steps may have another form where a worker has all rows, and they solve with matrices of
condition numbers of 1e4."""
MESHED_EXAMPLES = 3
"""Of each optimizer on a mesh."""


@st.composite
def examples_on_meshes(draw: Any, optimizer: str) -> Example:
    """Any optimizer on any small mesh, with any number of rows that is enough."""
    layers, rows = draw(st.sampled_from([(1, 2), (1, 3), (1, 4), (2, 2)]))
    spec = settings(
        optimizer=optimizer,
        set=draw(meshed[optimizer]),
        layers=draw(st.integers(2, 5)),
        hidden=draw(st.integers(1, 20)),
        init=draw(st.sampled_from(["normal", "he", "identity"])),
        gpus=layers * rows,
        mesh=f"layers={layers},rows={rows}",
        microbatches=draw(st.sampled_from([None, 3])),
        seed=draw(st.integers(0, 99)),
        warm_start="none",
        iterations=2,
    )
    shape = {"rows": st.integers(rows, 40), "features": st.integers(1, 20), "classes": st.integers(2, 5)}
    return Example(spec, {name: draw(values) for name, values in shape.items()})


def search(groups: dict[int, Workers], everyone: Workers) -> tuple[int, str | None]:
    """How many examples were tried, and the first that went wrong; every worker of the crew calls it."""
    tried, wrong = 0, None

    def attempt(drawn: st.SearchStrategy[Example], count: int) -> None:
        @hypothesis_settings(
            max_examples=count, derandomize=True, database=None, deadline=None,
            phases=[Phase.generate], suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        @given(drawn)
        def run_and_compare(example: Example) -> None:
            nonlocal tried, wrong
            if wrong is None:
                problem = toy_problem(**example.shape)
                many = together(example.spec, problem, groups, everyone)
                one = alone(example.spec, problem) if everyone.rank == 0 else None
                wrong = everyone.broadcast(one and compare(example, many, one))
                tried += 1

        run_and_compare()

    for optimizer in hyperparameters:  # each in turn: a draw of the optimizer may leave one out
        attempt(examples(optimizer), EXAMPLES)
    for optimizer in meshed:
        attempt(examples_on_meshes(optimizer), MESHED_EXAMPLES)
    return tried, wrong


def compare(example: Example, many: Outcome, one: Outcome) -> str | None:
    """What is wrong with the run of several workers."""
    if example.spec.splits_rows:
        return compare_to_rounding(example, many, one)
    for name in ("status", "weights_sha256", "iterations", "acc_test_final"):
        if many.row[name] != one.row[name]:
            return f"{name} is {many.row[name]}, not {one.row[name]} ({many.row['status_reason']}): {example}"
    # A diverged run has NaN in its history, which equals nothing.
    if repr(steps_of(many.history)) != repr(steps_of(one.history)):
        return f"the histories differ: {example}"
    return None


def compare_to_rounding(example: Example, many: Outcome, one: Outcome) -> str | None:
    """The same where workers share rows, whose sums round otherwise."""
    if many.row["status"] != one.row["status"]:
        return f"status is {many.row['status']}, not {one.row['status']} ({many.row['status_reason']}): {example}"
    far = apart(many, one)
    close = CLOSE["exact" if example.spec.optimizer == "pdadmm-c" else example.spec.set.get("step", "layer")]
    return f"the weights are {far:.1e} apart: {example}" if far > close else None


def apart(many: Outcome, one: Outcome) -> float:
    """The largest distance of a layer's weights and biases, in units of their norm."""
    pairs = zip(many.layers, one.layers, strict=True)
    flat = [[torch.cat([tensor.flatten() for tensor in layer]) for layer in pair] for pair in pairs]
    return max(float((a - b).norm() / b.norm()) for a, b in flat)
