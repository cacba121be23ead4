"""The thresholds of the gate: the size from which on a change counts, in the ``[gate]`` table of a suite file.

::

    [gate]
    accuracy_points = 0.5

    [[gate.benchmark]]
    where = { optimizer = "dladmm", layers = 4 }
    time_percent = 10
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from pdadmm_bench.core.errors import UserError, unknown
from pdadmm_bench.core.names import setting_of
from pdadmm_bench.core.typed import Typed, build


class Thresholds(Typed):
    """The limits that a change has to exceed with its whole interval."""

    accuracy_points: float = Field(0.5, ge=0, le=100, description="mean test accuracy over seeds, in points")
    loss_percent: float = Field(2.0, ge=0, description="any point of a seed's training loss, against the golden curve")
    iterations_percent: float = Field(20.0, ge=0, description="iterations to the target")
    target_percent: float = Field(95.0, gt=0, le=100, description="the target: this part of the base's best accuracy")
    state_percent: float = Field(1.0, ge=0, description="memory of the optimizer's state, which is counted")
    peak_percent: float = Field(25.0, ge=0, description="peak memory of the process, within a machine class")
    time_percent: float = Field(5.0, ge=0, description="an iteration, both sides measured in turn")
    recorded_time_percent: float = Field(30.0, ge=0, description="an iteration, against seconds of another day")
    time: bool = Field(True, description="whether the time of this benchmark is measured (never over several workers)")


class SuiteThresholds:
    """The thresholds of the benchmarks of a suite; raises :class:`UserError` for a table that is not valid.

    Args:
        table: the ``[gate]`` table.
        name: the suite file's, for messages.
    """

    def __init__(self, table: Mapping[str, Any], name: str):
        table = dict(table)
        special = table.pop("benchmark", [])
        self._common = build(Thresholds, table, f"threshold in [gate] of {name}:")
        if not isinstance(special, list):
            raise UserError(f"{name}: give [[gate.benchmark]] tables, each with where = {{ optimizer = 'adam' }}")
        self._special: list[tuple[dict[str, Any], dict[str, Any]]] = []
        for number, item in enumerate(special, 1):
            own = dict(item)
            where = own.pop("where", None)
            what = f"[[gate.benchmark]] {number} of {name}:"
            if not isinstance(where, dict) or not where:
                raise UserError(f"{what} where={where!r} is not valid: give settings, as in {{ optimizer = 'adam' }}")
            build(Thresholds, own, f"threshold in {what}")
            self._special.append(({setting_of(key): value for key, value in where.items()}, own))
        self._used = [False] * len(self._special)
        self._name = name

    def of(self, setting: Mapping[str, Any]) -> Thresholds:
        """The thresholds of a benchmark; of several tables that fit, the last one wins."""
        values = self._common.model_dump()
        for place, (where, own) in enumerate(self._special):
            for key in where:
                if key not in setting:
                    raise unknown(f"setting in where of [[gate.benchmark]] {place + 1} of {self._name}:", key, setting)
            if all(setting[key] in (value if isinstance(value, list) else [value]) for key, value in where.items()):
                self._used[place] = True
                values |= own
        return Thresholds(**values)

    def check_used(self) -> None:
        """Raise :class:`UserError` for a table that fits no benchmark: most likely one of its values is misspelt."""
        for used, (where, _) in zip(self._used, self._special, strict=True):
            if not used:
                raise UserError(f"{self._name}: [[gate.benchmark]] where {where} fits no benchmark")
