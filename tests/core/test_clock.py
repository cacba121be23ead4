"""The clock of a run."""

from __future__ import annotations

import pytest

from pdadmm_bench.core.clock import Clock


def test_the_clock_adds_up_apart_and_waits_for_the_device() -> None:
    events: list[str] = []
    times = iter([0.0, 1.0, 1.0, 3.0, 10.0, 10.5])

    def now() -> float:
        events.append("read")
        return next(times)

    clock = Clock(now, lambda: events.append("wait"))
    with clock.measure("train"):
        pass
    with clock.measure("train"):
        pass
    assert clock.last == 2.0
    with pytest.raises(KeyError), clock.measure("evaluate"):
        raise KeyError
    assert clock.seconds == {"train": 3.0, "evaluate": 0.5}
    # After an error the device is not waited for: it may wait for a worker that has failed.
    assert events == [*["wait", "read"] * 5, "read"]
