"""Workers that are started once and run many cases, since a process takes seconds to start.

They exchange tensors through :mod:`in_order`, which is as strict as NCCL.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import in_order
from toy import toy_problem

from pdadmm_bench.core.spec import RunSpec, run_spec
from pdadmm_bench.data.problem import Problem
from pdadmm_bench.models.mlp import Layer
from pdadmm_bench.parallel.group import Group, Workers, joined
from pdadmm_bench.parallel.launch import launch
from pdadmm_bench.training.checkpoint import Checkpoints
from pdadmm_bench.training.run import Observer, run, time_iterations

TIMEOUT_S = 300.0
"""Workers wait for each other's runs too, on a busy machine for minutes."""
REFUSED_S = 30.0
"""For cases with a mistake, whose other workers wait for one that has given up."""
FILE = "findings.pickle"
SIZE = 4
"""Workers in a crew; a case with fewer leaves the last ones idle."""
STOPPED_AT = 2
"""The iteration after which a case that is to be continued is stopped."""


def settings(**values: Any) -> RunSpec:
    """A run on one thread of a CPU."""
    return run_spec({"device": "cpu", "threads": 1, "preset": "none", "deterministic": True, **values})


@dataclass(frozen=True)
class Case:
    """One configuration; ``spec.gpus`` workers run it, and one worker runs it alone for comparison."""

    spec: RunSpec
    problem: str = "toy"
    """``toy``, or the name of one that was given to the crew."""

    @property
    def single(self) -> tuple[str, str]:
        """What the run of one worker depends on."""
        return self.problem, of_one_worker(self.spec).model_dump_json()


@dataclass
class Outcome:
    """How a run ended."""

    row: dict[str, Any]
    history: list[dict[str, float]]
    layers: list[Layer] = field(default_factory=list)
    """Of the whole network."""


@dataclass
class Pair:
    """A case over several workers, and the same by one worker."""

    many: Outcome
    one: Outcome


@dataclass
class Findings:
    """What a crew found."""

    pairs: dict[str, Pair]
    examples: int
    """How many random examples it tried."""
    counterexample: str | None
    """The first of them that went wrong."""
    continued: dict[str, Outcome]
    """Cases that were stopped and continued from a checkpoint."""
    in_one_lane: dict[str, Outcome]
    """Cases whose workers exchange with all neighbours in one lane."""
    timed: dict[str, dict[str, Any]]
    """The values of ``time_iterations``."""
    refused: dict[str, Outcome]
    """Cases with a mistake that NCCL would not forgive."""


@dataclass(frozen=True)
class Work:
    """What a crew has to do."""

    cases: dict[str, Case]
    to_continue: dict[str, Case]
    """These are stopped and continued."""
    in_one_lane: dict[str, Case]
    to_time: dict[str, Case]
    to_refuse: dict[str, Case]
    """A case for each name of :data:`mistakes.MISTAKES`, with which it is run."""


def run_cases(work: Work, problems: dict[str, Problem], folder: Path) -> None:
    """Start a crew and let it do its work; what came out is left in ``folder``."""
    launch(SIZE, _work, work, {"toy": toy_problem(), **problems}, folder / FILE)


def found_in(folder: Path) -> Findings:
    """What a crew left there."""
    return pickle.loads((folder / FILE).read_bytes())


def _work(work: Work, problems: dict[str, Problem], out: Path) -> None:
    import mistakes
    import properties

    with joined("cpu", TIMEOUT_S, in_order.register()) as everyone:
        groups = {size: Workers(size, timedelta(seconds=TIMEOUT_S)) for size in range(2, SIZE + 1)}
        groups[4].form(2, 2)
        many = {
            name: together(case.spec, problems[case.problem], groups, everyone) for name, case in work.cases.items()
        }
        # Cases that differ in their partition only have one run of one worker; these are shared out among the crew.
        singles = {case.single: case for case in work.cases.values()}
        mine = {
            key: alone(case.spec, problems[case.problem])
            for i, (key, case) in enumerate(singles.items())
            if i % SIZE == everyone.rank
        }
        one = {key: outcome for worker in everyone.gather(mine) for key, outcome in worker.items()}
        continued = {
            name: stopped_and_continued(case.spec, problems[case.problem], groups, everyone, out.parent / "checkpoints")
            for name, case in work.to_continue.items()
        }
        with in_order.one_lane_for_all():
            in_one_lane = {
                name: together(case.spec, problems[case.problem], groups, everyone)
                for name, case in work.in_one_lane.items()
            }
        timed = {
            name: time_iterations(case.spec, problems[case.problem], groups[case.spec.gpus], iterations=2)
            for name, case in work.to_time.items()
            if everyone.rank < case.spec.gpus
        }
        examples, counterexample = properties.search(groups, everyone)
        refused = {}
        for name, case in work.to_refuse.items():
            # With groups of their own, because a lane with an error works no more.
            fresh = {case.spec.gpus: Workers(case.spec.gpus, timedelta(seconds=REFUSED_S))}
            with mistakes.MISTAKES[name]():
                refused[name] = together(case.spec, problems[case.problem], fresh, everyone)
    if everyone.rank == 0:
        pairs = {name: Pair(outcome, one[work.cases[name].single]) for name, outcome in many.items()}
        found = Findings(pairs, examples, counterexample, continued, in_one_lane, timed, refused)
        out.write_bytes(pickle.dumps(found))


class Stop(Observer):
    """Asks the workers of a run to stop after an iteration in the middle."""

    def __init__(self, group: Group):
        self._group = group

    def stepped(self, step: Mapping[str, float]) -> None:
        self._group.interrupted = step["iteration"] == STOPPED_AT - 1


def stopped_and_continued(
    spec: RunSpec, problem: Problem, groups: dict[int, Workers], everyone: Workers, folder: Path
) -> Outcome:
    """The outcome of the second of two runs: one that was stopped, and one that continues from its checkpoint."""
    checkpoints = Checkpoints(folder, 3600.0, lambda optimizer: "")
    if everyone.rank < spec.gpus:
        group = groups[spec.gpus]
        row = run(spec, problem if group.rank == 0 else None, [Stop(group)], group=group, checkpoints=checkpoints).row
        assert row["status"] == "interrupted", row["status_reason"]
        group.interrupted = False
    return together(spec, problem, groups, everyone, checkpoints)


def together(
    spec: RunSpec, problem: Problem, groups: dict[int, Workers], everyone: Workers,
    checkpoints: Checkpoints | None = None,
) -> Outcome:  # fmt: skip
    """Run over the first ``spec.gpus`` workers of the crew; every worker calls it and gets the outcome."""
    mine: Any = None
    if everyone.rank < spec.gpus:
        group = groups[spec.gpus] if spec.gpus > 1 else Group()
        result = run(spec, problem if group.rank == 0 else None, group=group, checkpoints=checkpoints)
        mine = result.row, result.history, result.layers
    found = [worker for worker in everyone.gather(mine) if worker is not None]
    (row, history, _), *_ = found
    assert all(steps_of(other) == steps_of(history) for _, other, _ in found), "the workers disagree"
    rows = len(found) // len(row["dist_partition"].split(","))  # workers with the same layers
    return Outcome(row, history, [layer for _, _, layers in found[::rows] for layer in layers])


def of_one_worker(spec: RunSpec) -> RunSpec:
    """The same run by one worker."""
    return spec.model_copy(update={"gpus": 1, "mesh": "layers", "partition": "auto", "microbatches": None})


def alone(spec: RunSpec, problem: Problem) -> Outcome:
    """The outcome of the same run by one worker."""
    result = run(of_one_worker(spec), problem)
    return Outcome(result.row, result.history, result.layers)


def steps_of(history: Sequence[dict[str, float]]) -> list[dict[str, float]]:
    """The history without its times."""
    return [{key: value for key, value in step.items() if not key.endswith("seconds")} for step in history]


def compositions(total: int, parts: int) -> list[tuple[int, ...]]:
    """The ways of writing ``total`` as an ordered sum of ``parts`` positive numbers."""
    if parts == 1:
        return [(total,)]
    return [(first, *rest) for first in range(1, total - parts + 2) for rest in compositions(total - first, parts - 1)]
