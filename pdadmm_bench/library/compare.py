"""Paired comparison of two sides, with the verdicts of ``pdadmm-bench compare``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pdadmm_bench.core.rows import Row
from pdadmm_bench.library.results import ShownTable, rows_of
from pdadmm_bench.report.tables.comparison import comparison_tables, decision_rule, remarks
from pdadmm_bench.stats.comparison import ComparedSides, compare_rows, values_for_json
from pdadmm_bench.stats.metrics import SMALLEST_DIFFERENCE, SMALLEST_FACTOR, metrics_for
from pdadmm_bench.stats.pairing import setting_name

if TYPE_CHECKING:
    from pandas import DataFrame


@dataclass(frozen=True)
class Comparison:
    """Side b against side a: a line per metric and setting, with a verdict."""

    sides: ComparedSides
    rule: str
    """When a line says better, faster and the like."""

    @property
    def tables(self) -> list[ShownTable]:
        """A table per metric."""
        return [ShownTable(table) for table in comparison_tables(self.sides)]

    @property
    def verdicts(self) -> list[str]:
        """The verdict of every line."""
        return [str(line.comparison.verdict) for line in self.sides.lines]

    def frame(self) -> DataFrame:
        """A pandas frame: a line per comparison, with effect, interval, p and verdict."""
        from pandas import json_normalize

        return json_normalize(values_for_json(self.sides)["lines"])

    def __str__(self) -> str:
        if not self.sides.lines:
            nothing = "nothing to compare: no run of a and run of b have the same problem, network and seed"
            return "\n".join([nothing, *self._rest()])
        return "\n".join([*map(str, self.tables), self.rule, *self._rest()])

    __repr__ = __str__

    def _rest(self) -> list[str]:
        return list(remarks(self.sides))

    def _repr_html_(self) -> str:
        from html import escape

        lines = [f"<p>{escape(line)}</p>" for line in (self.rule, *self._rest())]
        return "\n".join([*(table._repr_html_() for table in self.tables), *lines])


def compare(
    a: Sequence[Row] | str | Path,
    b: Sequence[Row] | str | Path,
    *,
    metrics: Sequence[str] = (),
    by: Sequence[str] = (),
    smallest_points: float = 100 * SMALLEST_DIFFERENCE,
    smallest_percent: float = 100 * SMALLEST_FACTOR,
    apart: bool = False,
) -> Comparison:
    """Side ``b`` against side ``a``, paired by problem, network and seed, as ``pdadmm-bench compare`` does.

    Args:
        a: the reference: results, rows, or the name of a source; ``results.only(optimizer="adam")`` is a part.
        b: what the verdicts speak about, given in the same ways.
        metrics: columns of the rows; default: test accuracy, iteration time, and time to target if there is one.
        by: settings that make a line; default: all but the seeds.
        smallest_points: differences of accuracy up to here, in points, are none.
        smallest_percent: the same for times and sizes, in percent.
        apart: judge times although the sides were not measured in turn.

    Raises :class:`~pdadmm_bench.core.errors.UserError` for an unknown metric, setting or source.
    """
    one, other = list(rows_of(a)), list(rows_of(b))
    smallest = smallest_points / 100, smallest_percent / 100
    names = [setting_name(name, [*one, *other]) for name in by] or None
    sides = compare_rows(one, other, metrics_for(metrics, [*one, *other], *smallest), names, apart=apart)
    return Comparison(sides, decision_rule(sides, *smallest, apart) if sides.lines else "")
