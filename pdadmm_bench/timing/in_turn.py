"""Measurements in turn: each repetition measures every contender once, so that a drifting machine slows all alike.

Each repetition has the opposite order of the one before. Ratios are formed within a repetition.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from pdadmm_bench.timing.stopwatch import timed
from pdadmm_bench.timing.subject import Subject

SAMPLE_S = 0.1
"""A measurement repeats the work until it takes about this long, after one call that is not measured. The caches are
then as in training, where the data of a small problem stay in them between iterations."""


@dataclass
class Contender:
    """Work to be timed, under the settings of a subject."""

    work: Callable[[], None]
    subject: Subject
    count: int = 0
    """Calls per measurement; the first measurement sets it."""

    def seconds(self) -> float:
        """Seconds of one call, as the mean of ``count``."""
        self.subject.claim_torch()
        if not self.count:
            single = timed(self.work, self.subject.device)
            self.count = math.ceil(SAMPLE_S / single)
            if self.count == 1:
                return single
        if self.count > 1:
            self.work()
        return timed(self.work, self.subject.device, self.count)


def alternate(contenders: Mapping[str, Contender], repeats: int) -> Iterator[dict[str, float]]:
    """Seconds per call of every contender, one repetition after the other."""
    names = list(contenders)
    for repeat in range(repeats):
        order = names if repeat % 2 == 0 else names[::-1]
        yield {name: contenders[name].seconds() for name in order}
