"""The answer of a report in two or three sentences, made from verdicts: who leads, by how much, what is not shown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from pdadmm_bench.core.rows import Row
from pdadmm_bench.report.standings import Leaders, Rival, Standing
from pdadmm_bench.report.tables.settings import Differences
from pdadmm_bench.report.units import seconds
from pdadmm_bench.stats.pairing import device_class

Name = Callable[[tuple[Any, ...]], str]
"""The name of a problem."""
_NAMED = 3
"""So many problems are named one by one; of more, only their number is given."""


def sentences(leaders: Leaders) -> list[str]:
    """What rows show about accuracy and time, and what they do not show; empty for rows of one setting.

    Rows of one machine only have a sentence on time: those of two are not compared.
    """
    name = partial(_name, Differences.of(leaders.lines))
    accuracy = leaders.accuracy
    (time,) = leaders.times.values() if len(leaders.times) == 1 else ([],)
    found = [
        _shown(accuracy, name, "the most accurate", _points),
        _shown(time, name, "fastest per iteration", _times),
        _not_shown(accuracy, name, "the most accurate"),
        _not_shown(time, name, "fastest per iteration"),
    ]
    return [sentence for sentence in found if sentence]


def about(rows: Sequence[Row]) -> str:
    """Machine and protocol, runs, whether the machine was quiet, dates, version: one line."""
    machines = sorted({device_class(row) for row in rows if row.get("dist_device") is not None})
    protocols = sorted({str(row.get("env_protocol") or "none") for row in rows})
    days = sorted({str(row["created"])[:10] for row in rows if row.get("created")})
    versions = sorted({f"{row.get('env_version')} ({str(row.get('env_commit'))[:10]})" for row in rows})
    parts = [
        *machines,
        f"protocol {'; '.join(protocols)}" if rows else "",
        f"{len(rows)} runs",
        f"machine {_quiet(rows)}" if rows else "",
        " to ".join(dict.fromkeys([days[0], days[-1]])) if days else "",
        f"pdadmm-bench {', '.join(versions)}" if versions else "",
    ]
    return " · ".join(part for part in parts if part)


def _quiet(rows: Sequence[Row]) -> str:
    """What ``check`` said of the machine before the runs; with numbers of runs where it did not say one thing."""
    answers = Counter(str(row.get("env_quiet") or "").partition(":")[0] for row in rows)
    words = {"": "not checked", "quiet": "checked quiet"}
    found = [(words.get(answer, answer), count) for answer, count in answers.items()]
    return found[0][0] if len(found) == 1 else ", ".join(f"{word} ({count})" for word, count in found)


def _name(differ: Differences, problem: tuple[Any, ...]) -> str:
    """What a problem is called among others."""
    dataset, layers, hidden, workers = problem
    count = workers or 1
    parts = [f"{layers}×{hidden}"] if differ.network else []
    parts += [f"{count} worker{'' if count == 1 else 's'}"] if differ.workers else []
    return differ.datasets[str(dataset)] + (f" ({', '.join(parts)})" if parts else "")


def _shown(found: Sequence[Standing], name: Name, what: str, gap: Any) -> str:
    shown = [standing for standing in found if standing.is_shown]
    if not shown:
        return ""
    clauses = []
    for optimizer in dict.fromkeys(standing.leader.optimizer for standing in shown):
        mine = [standing for standing in shown if standing.leader.optimizer == optimizer]
        if len(shown) <= _NAMED:
            clauses += [f"{optimizer} is {what} on {name(each.problem)}: {gap(each)}" for each in mine]
        else:
            clauses.append(f"{optimizer} is {what} on {len(mine)} of {len(found)} problems")
    return "; ".join(clauses) + "."


def _points(standing: Standing) -> str:
    """The leader's accuracy, and how far it is ahead of the nearest."""
    rival = standing.rivals[0]
    return f"{100 * standing.value:.1f} %, {_effect(rival, 100, '.1f')} points above {rival.line.optimizer}"


def _times(standing: Standing) -> str:
    rival = standing.rivals[0]
    assert rival.comparison is not None
    effect = rival.comparison.effect
    times = [None if value is None else 1 / value for value in (effect.value, effect.high, effect.low)]
    ends = f" [{times[1]:.2f}, {times[2]:.2f}]" if times[1] and times[2] else ""
    return f"{seconds(standing.value)}, {times[0]:.2f}{ends} times as fast as {rival.line.optimizer}"


def _effect(rival: Rival, scale: float, form: str) -> str:
    assert rival.comparison is not None
    effect = rival.comparison.effect
    value, low, high = (None if x is None else format(scale * x, form) for x in (effect.value, effect.low, effect.high))
    return f"{value} [{low}, {high}]" if low and high else str(value)


def _not_shown(found: Sequence[Standing], name: Name, what: str) -> str:
    """Why no line is called the best on the other problems, by reason; who leads there."""
    reasons: dict[str, list[Standing]] = {}
    for standing in found:
        if not standing.is_shown:
            reasons.setdefault(standing.reason("another"), []).append(standing)
    clauses = []
    for reason, mine in reasons.items():
        problems = [name(standing.problem) for standing in mine]
        where = ", ".join(problems) if len(problems) <= _NAMED else f"{len(problems)} of {len(found)} problems"
        leaders = Counter(standing.leader.optimizer for standing in mine)
        if len(mine) == 1 or len(leaders) == len(mine) <= _NAMED:
            clauses += [f"on {each}: {standing.doubt}" for each, standing in zip(problems, mine, strict=True)]
        else:
            places = ", ".join(f"{leader} on {count}" for leader, count in leaders.most_common())
            clauses.append(f"on {where}: the one with {mine[0].place} {reason} ({places})")
    return f"None is shown to be {what} {'; '.join(clauses)}." if clauses else ""
