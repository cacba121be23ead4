"""Test accuracy at the best validation accuracy: a line per optimizer, a column per dataset."""

from __future__ import annotations

from collections.abc import Sequence

from pdadmm_bench.core.protocol import note as protocol_note
from pdadmm_bench.report.standings import Leaders, Standing, estimate
from pdadmm_bench.report.table import Cell, Column, Table, cell
from pdadmm_bench.report.tables.settings import SettingRows, columns, headings, once, setting_cells
from pdadmm_bench.stats.estimate import LEAST_FOR_INTERVAL
from pdadmm_bench.stats.metrics import ACCURACY, metric


def accuracy_table(leaders: Leaders) -> Table | None:
    """Mean, 95 % bootstrap interval and n for each dataset, network and optimizer; None without any accuracy.

    A cell is best only if the paired test calls it better than each other line of its dataset, network and number of
    workers. The test pairs seeds and is corrected for all comparisons of the table.
    """
    lines = leaders.lines
    if not any(row.get(ACCURACY) is not None for line in lines for row in line.rows):
        return None
    found = leaders.accuracy
    best = {id(standing.leader) for standing in found if standing.is_shown}
    datasets = list(dict.fromkeys(str(line.setting["dataset"]) for line in lines))
    names = columns(lines, leave_out=["dataset"])
    cells: dict[tuple[str, ...], dict[str, Cell]] = {}
    first: dict[tuple[str, ...], SettingRows] = {}
    for line in lines:
        key = tuple(str(found.value) for found in setting_cells(line, names))
        first.setdefault(key, line)
        cells.setdefault(key, {})[str(line.setting["dataset"])] = _cell(line, id(line) in best)
    order = list(dict.fromkeys(line.optimizer for line in lines))
    keys = sorted(first, key=lambda key: (_numbers(first[key]), order.index(first[key].optimizer)))
    table = [
        [*setting_cells(first[key], names), *(cells[key].get(dataset, Cell()) for dataset in datasets)] for key in keys
    ]
    return Table(
        "accuracy",
        "Test accuracy at the best validation accuracy: mean [95 % bootstrap interval]",
        [*headings(names), *(Column(dataset, "accuracy") for dataset in datasets)],
        table,
        _notes(lines, found),
    )


def _cell(line: SettingRows, best: bool) -> Cell:
    found = estimate(line, metric(ACCURACY))
    return cell(found, suffix=line.statuses if line.failed else "", best=best)


def _numbers(line: SettingRows) -> tuple[float, ...]:
    return tuple(float(line.setting.get(name) or 0) for name in ("layers", "hidden", "gpus"))


def _notes(lines: Sequence[SettingRows], found: Sequence[Standing]) -> list[str]:
    notes = [_best_note(found)] if found else []
    if any(len(once(line.rows)) < LEAST_FOR_INTERVAL for line in lines):
        notes.append(f"fewer than {LEAST_FOR_INTERVAL} seeds give no interval")
    return [*notes, protocol_note([row.get("env_protocol") for line in lines for row in line.rows])]


def _best_note(found: Sequence[Standing]) -> str:
    if any(standing.is_shown for standing in found):
        return (
            "best (marked): better than every other line of the same problem by the paired test over seeds, "
            "corrected for all comparisons of the table (Holm)"
        )
    few = [
        rival.comparison.reason
        for standing in found
        for rival in standing.rivals
        if rival.comparison and rival.verdict == "too few seeds"
    ]
    why = f"too few seeds ({few[0]})" if few else "the best mean is not significantly better than every other line"
    return f"none is marked as best: {why}"
