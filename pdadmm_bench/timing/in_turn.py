"""Work measured in turn: every contender once in each repetition, so that a drifting machine slows all of them alike.

A repetition goes through the contenders in the opposite order of the one before. Ratios are formed within a repetition.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from pdadmm_bench.timing.stopwatch import timed
from pdadmm_bench.timing.subject import Subject

SAMPLE_S = 0.1
"""A measurement repeats work until it takes about this long, after once unmeasured: as in training, where the data of a
small problem stay in the caches from one iteration to the next."""


@dataclass
class Contender:
    """Work to be timed, under the settings of a subject."""

    work: Callable[[], None]
    subject: Subject
    count: int = 0
    """Calls per measurement, found in the first one."""

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
    """Seconds per call of every contender, a repetition at a time."""
    names = list(contenders)
    for repeat in range(repeats):
        order = names if repeat % 2 == 0 else names[::-1]
        yield {name: contenders[name].seconds() for name in order}
