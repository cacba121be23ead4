"""How long the runs that are left will take."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import mean

from pdadmm_bench.core.spec import RunSpec

_ON_COURSE = 0.1
"""From this fraction of a run on, its own pace is a better guess than what other runs took."""


def kind_of(spec: RunSpec) -> str:
    """Runs of one kind have the same settings, apart from the seeds, and so take about the same time."""
    return json.dumps({name: value for name, value in spec.flat().items() if name not in ("seed", "split_seed")})


def fraction_done(spec: RunSpec, iteration: int, layers: int | None = None) -> float:
    """How much of a run is done after ``iteration``, by layers × iterations.

    Args:
        layers: those of the network of the warm start that trains; None once the whole network trains.
    """
    stages = [*spec.stages(), (spec.model.layers, spec.iterations)]
    place = len(stages) - 1 if layers is None else [depth for depth, _ in stages].index(layers)
    before = sum(depth * iterations for depth, iterations in stages[:place])
    return (before + stages[place][0] * iteration) / max(1, sum(depth * iterations for depth, iterations in stages))


@dataclass(frozen=True)
class Underway:
    """A run that is being made."""

    kind: str
    elapsed_s: float
    done: float
    """The fraction that is done, from 0 to 1."""

    @property
    def on_course_s(self) -> float | None:
        """The seconds that it will have taken, at its pace so far; None before it has done anything."""
        return self.elapsed_s / self.done if self.done else None


class EtaEstimate:
    """Estimates how long the rest of many runs will take.

    A run takes what the finished runs of its kind took on average. Before one of them has finished, it takes its
    prediction, times the ratio of measured to predicted seconds so far. Without a prediction, it takes what a run of
    its kind is on course for, or else as long as the runs of other kinds.

    Args:
        runs: kind and predicted seconds of each run; None where there is no prediction.
        jobs: how many runs are made at once.
    """

    def __init__(self, runs: Iterable[tuple[str, float | None]], jobs: int = 1):
        runs = list(runs)
        self._predictions = dict(runs)
        self._left = Counter(kind for kind, _ in runs)
        self._took: dict[str, list[float]] = {}
        self._jobs = jobs

    def over(self, kind: str, took_s: float) -> None:
        """Count a run that is over; ``took_s`` is 0 where it says nothing about others, as of a run that failed."""
        self._left[kind] -= 1
        if took_s:
            self._took.setdefault(kind, []).append(took_s)

    def seconds(self, underway: Sequence[Underway] = (), kind: str | None = None) -> float | None:
        """Seconds until the runs, or those of one kind, are over; None where nothing is known yet."""
        rests: list[float] = []
        waiting = 0.0
        kinds = [each for each, count in self._left.items() if count > 0 and kind in (None, each)]
        for each in kinds:
            mine = [run for run in underway if run.kind == each]
            expected = self._expected(each, mine)
            if expected is None:
                return None
            rests += [_rest(run, expected) for run in mine]
            waiting += max(0, self._left[each] - len(mine)) * expected
        at_once = max(1, min(self._jobs, sum(self._left[each] for each in kinds)))
        return max((sum(rests) + waiting) / at_once, max(rests, default=0.0))

    def _expected(self, kind: str, underway: Sequence[Underway]) -> float | None:
        """Seconds of a run of this kind."""
        if kind in self._took:
            return mean(self._took[kind])
        predicted = self._predictions.get(kind)
        if predicted is not None:
            return predicted * self._ratio()
        own = [run.on_course_s for run in underway if run.on_course_s is not None]
        others = [mean(took) for took in self._took.values()]
        return mean(own or others) if own or others else None

    def _ratio(self) -> float:
        """Measured to predicted seconds of the runs so far."""
        pairs = [(sum(took), len(took) * (self._predictions.get(kind) or 0.0)) for kind, took in self._took.items()]
        known = [(took, predicted) for took, predicted in pairs if predicted]
        return sum(took for took, _ in known) / sum(predicted for _, predicted in known) if known else 1.0


def _rest(run: Underway, expected_s: float) -> float:
    """Seconds that a run under way still takes."""
    pace = run.on_course_s
    return max(0.0, (pace if pace is not None and run.done >= _ON_COURSE else expected_s) - run.elapsed_s)
