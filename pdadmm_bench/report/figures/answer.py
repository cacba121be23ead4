"""The picture at the top of a report: test accuracy against seconds, a point with intervals for each optimizer."""

from __future__ import annotations

from collections.abc import Sequence

from pdadmm_bench.core.names import short_names
from pdadmm_bench.core.rows import Row
from pdadmm_bench.report.figures.picture import Curve, Panel, Picture
from pdadmm_bench.report.standings import estimate
from pdadmm_bench.report.tables.settings import SettingRows, by_machine, gather, quotable
from pdadmm_bench.stats.metrics import ACCURACY, metric

#: The seconds on the x axis: the first of these columns that the rows have.
SECONDS = {
    "time_to_near_best_s": "seconds to 99 % of its own best",
    "time_train_s": "training seconds",
}
PANELS = 3
"""A picture shows so many problems; the tables have all of them."""


def answer_pictures(rows: Sequence[Row]) -> dict[str, Picture]:
    """The picture of the problems with the most optimizers, by the name of its file; none without two optimizers.

    A point is the mean accuracy over seeds and the median of the seconds, each with its 95 % interval. Rows of the
    machine with the most of them are shown, since seconds of two machines are not compared.
    """
    machines = list(by_machine(rows).values())
    if not machines:
        return {}
    most = max(machines, key=len)
    lines = gather(most)
    column = next((name for name in SECONDS if any(row.get(name) is not None for row in rows)), None)
    problems: dict[tuple[object, ...], list[Curve]] = {}
    for line in lines if column else ():
        curve = _point(line, str(column))
        if curve:
            problems.setdefault(line.problem, []).append(curve)
    chosen = sorted((key for key in problems if len(problems[key]) > 1), key=lambda key: -len(problems[key]))[:PANELS]
    if not chosen:
        return {}
    short = short_names(str(line.problem[0]) for line in lines)
    panels = []
    for dataset, layers, hidden, workers in chosen:
        title = f"{short[str(dataset)]} · {layers} × {hidden}" + (f" · {workers} workers" if workers != 1 else "")
        about = (str(dataset), layers if isinstance(layers, int) else None)
        curves = problems[dataset, layers, hidden, workers]
        panels.append(Panel(title, SECONDS[str(column)], curves, kind="scatter", percent=True, about=about))
    near = "training seconds to 99 % of the own best validation accuracy" if column != "time_train_s" else "seconds"
    more = len([key for key in problems if len(problems[key]) > 1]) - len(chosen)
    rest = f"; {more} more problems are in the tables" if more else ""
    return {"answer": Picture(f"Test accuracy against {near}, with 95 % intervals{rest}", panels)}


def _point(line: SettingRows, column: str) -> Curve | None:
    accuracy = estimate(line, metric(ACCURACY))
    seconds, flagged = estimate(line, metric(column)), quotable(line.rows)[1]
    if accuracy.value is None or seconds.value is None:
        return None
    return Curve(
        line.optimizer, [seconds.value], [accuracy.value], [accuracy.low], [accuracy.high], [accuracy.n], flagged,
        str(line.setting.get("optimizer")), [seconds.low], [seconds.high],
    )  # fmt: skip
