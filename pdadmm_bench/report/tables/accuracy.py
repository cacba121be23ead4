"""Test accuracy at the best validation accuracy: a line per optimizer, a column per dataset."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pdadmm_bench.core.protocol import note as protocol_note
from pdadmm_bench.core.rows import Row
from pdadmm_bench.report.table import Cell, Column, Table, cell
from pdadmm_bench.report.tables.settings import SettingRows, columns, gather, headings, once, setting_cells
from pdadmm_bench.stats.comparison import compare_rows
from pdadmm_bench.stats.estimate import LEAST_FOR_INTERVAL, Estimate, aggregate
from pdadmm_bench.stats.metrics import metric
from pdadmm_bench.stats.paired import judge, least_pairs

COLUMN = "acc_test_at_best_val"


def accuracy_table(rows: Iterable[Row]) -> Table | None:
    """Mean, 95 % bootstrap interval and n for each dataset, network and optimizer; None without any accuracy.

    A cell is best only if the paired test calls it better than each other line of its dataset, network and number of
    workers. The test pairs seeds and is corrected for all comparisons of the table.
    """
    lines = gather(rows)
    if not any(row.get(COLUMN) is not None for line in lines for row in line.rows):
        return None
    best = best_lines(lines)
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
        _notes(lines, best),
    )


def best_lines(lines: Sequence[SettingRows]) -> set[int]:
    """The ``id`` of every line that is shown to be better than each other line of its problem."""
    accuracy = metric(COLUMN)
    comparisons, owners = [], []
    against: dict[int, int] = {}
    for problem in dict.fromkeys(line.problem for line in lines):
        peers = [line for line in lines if line.problem == problem]
        means = {id(line): mean_accuracy(line).value for line in peers}
        known = [line for line in peers if means[id(line)] is not None]
        if len(known) < 2:
            continue
        top = max(known, key=lambda line: means[id(line)] or 0.0)
        against[id(top)] = len(known) - 1
        for other in known:
            if other is not top:
                for found in compare_rows(once(other.rows), once(top.rows), [accuracy], by=()).lines:
                    comparisons.append(found.comparison)
                    owners.append(id(top))
    verdicts = [found.verdict for found in judge(comparisons)]
    won = [owner for owner, verdict in zip(owners, verdicts, strict=True) if verdict == "better"]
    return {owner for owner, rivals in against.items() if won.count(owner) == rivals}


def mean_accuracy(line: SettingRows) -> Estimate:
    """Mean accuracy of a line's complete runs, one for each seed and split."""
    accuracy = metric(COLUMN)
    return aggregate((accuracy.value(row) for row in once(line.rows)), "mean")


def _cell(line: SettingRows, best: bool) -> Cell:
    return cell(mean_accuracy(line), suffix=line.statuses if line.failed else "", best=best)


def _numbers(line: SettingRows) -> tuple[float, ...]:
    return tuple(float(line.setting.get(name) or 0) for name in ("layers", "hidden", "gpus"))


def _notes(lines: Sequence[SettingRows], best: set[int]) -> list[str]:
    notes = [
        "best (marked): better than every other line of the same problem by the paired test over seeds, "
        "corrected for all comparisons of the table (Holm)"
        if best
        else "none is marked as best: no line is better than all others of the same problem by the paired test "
        f"over seeds, which needs at least {least_pairs()} of them"
    ]
    if any(len(once(line.rows)) < LEAST_FOR_INTERVAL for line in lines):
        notes.append(f"fewer than {LEAST_FOR_INTERVAL} seeds give no interval")
    return [*notes, protocol_note([row.get("env_protocol") for line in lines for row in line.rows])]
