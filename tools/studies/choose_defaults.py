"""Make the presets ``runners/tuning/default/*.toml`` from the rows of a search.

    pdadmm-bench suite runners/tuning/search.toml -j 2
    python tools/studies/choose_defaults.py results/search/rows.json reports/tuning/search.csv

Of each optimizer's trials from the common starting point, the one with the highest mean of the best validation
accuracies over the searched graphs becomes its preset for any graph; a trial that failed on a graph counts as 0 there.
A searched graph takes its own best trial. Test accuracy is not read. The table has every trial, with the seconds that
it took. Rows of ``--split fraction`` make entries for that kind of split and for ``full``, after the other entries of a
file; those stay as they are.
"""

from __future__ import annotations

import csv
import json
import re
import sys
from collections import defaultdict
from pathlib import Path
from statistics import mean

from pdadmm_bench.core.rows import Row, read_rows

PRESETS = Path("runners/tuning/default")
COMMON = ("he", "warm")
FORMS = {"pdadmm-q": ("pdadmm", {"rho": "nu"})}
"""Method → the method whose values it takes, and for some of its hyperparameters the other's name for the value."""

Trial = tuple[str, tuple[str, str], str]
"""Optimizer, start (init, warm or cold) and hyperparameters as JSON."""


HEAD = 'source = "runners/tuning/search.toml, validation accuracy, tools/studies/choose_defaults.py"\n'
MANY = "\n# For many labelled rows: runners/tuning/many-labels.toml, tools/studies/protocol_3.py.\n"
REDUCED = "\n# For few labelled rows with reduced features: runners/tuning/reduced.toml, tools/studies/protocol_3.py.\n"
DEPTH = "\n# For the generated task that needs depth: runners/tuning/depth-task.toml, tools/studies/protocol_3.py.\n"
LATER = (MANY, REDUCED, DEPTH)
"""How the sections of a preset begin that come after its first."""


def trials(rows: list[Row]) -> dict[Trial, dict[str, Row]]:
    """The rows of each trial by their dataset."""
    found: dict[Trial, dict[str, Row]] = defaultdict(dict)
    for row in rows:
        spec = json.loads(row["spec"])
        values = json.dumps(spec["set"], sort_keys=True)
        start = spec["init"], "warm" if row["model_warm_start"] else "cold"
        found[row["optimizer_name"], start, values][row["dataset_name"]] = row
    return found


def accuracy(row: Row) -> float:
    """Best validation accuracy, 0 for a run whose status is not ``ok``."""
    return (row.get("acc_val_best") or 0.0) if row["status"] == "ok" else 0.0


def write_table(path: Path, found: dict[Trial, dict[str, Row]], datasets: list[str]) -> None:
    """Every trial with its validation accuracies and training seconds."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        out = csv.writer(file, lineterminator="\n")
        names = [f"{kind}_{dataset}" for kind in ("acc_val_best", "time_train_s") for dataset in datasets]
        out.writerow(["optimizer", "init", "start", "hyperparameters", *names])
        for (optimizer, start, values), rows in sorted(found.items()):
            accuracies = [f"{accuracy(rows[name]):.4f}" for name in datasets]
            seconds = [f"{rows[name]['time_train_s']:.2f}" for name in datasets]
            out.writerow([optimizer, *start, values, *accuracies, *seconds])


def write_presets(folder: Path, found: dict[Trial, dict[str, Row]], datasets: list[str]) -> None:
    """The best trials of every optimizer from the common start, for any depth and width."""
    by_optimizer: dict[str, dict[str, dict[str, Row]]] = defaultdict(dict)
    for (optimizer, start, values), rows in found.items():
        if start == COMMON:
            by_optimizer[optimizer][values] = rows
    for optimizer, (other, renamed) in FORMS.items():
        if other in by_optimizer:
            by_optimizer[optimizer] = {form(values, renamed): rows for values, rows in by_optimizer[other].items()}
    for optimizer, tried in by_optimizer.items():
        like = f" (of {FORMS[optimizer][0]})" if optimizer in FORMS else ""
        common = max(tried, key=lambda values: mean(accuracy(tried[values][name]) for name in datasets))
        text = _entry(common, "", {name: tried[common][name] for name in datasets}, like)
        for name in datasets:
            own = max(tried, key=lambda values: accuracy(tried[values][name]))
            if accuracy(tried[own][name]) > accuracy(tried[common][name]):
                text += _entry(own, f'datasets = ["{name}"]\n', {name: tried[own][name]}, like)
        write_section(folder / f"{optimizer}.toml", HEAD, HEAD, text)


def write_section(path: Path, source: str, head: str, text: str) -> None:
    """Make the section of a preset that begins with ``head`` anew; the others stay.

    Args:
        source: the first line of a preset that there is not yet.
    """
    preset = path.read_text(encoding="utf-8") if path.exists() else source
    first, *rest = re.split("(" + "|".join(map(re.escape, LATER)) + ")", preset)
    sections = dict(zip(rest[::2], rest[1::2], strict=True))
    if head in LATER:
        sections[head] = text
    else:
        first = head + text
    path.write_text(first + "".join(each + sections[each] for each in LATER if each in sections), encoding="utf-8")


def form(values: str, renamed: dict[str, str]) -> str:
    """Hyperparameters in JSON, some of them with the value of another."""
    found = json.loads(values)
    return json.dumps({name: found[renamed.get(name, name)] for name in found})


def _entry(values: str, where: str, rows: dict[str, Row], like: str) -> str:
    reached = ", ".join(f"{name} {100 * accuracy(row):.1f}" for name, row in rows.items())
    return (
        f"\n# best validation accuracy in % at 10 × 500, seed 0: {reached}{like}\n"
        f"[[entry]]\n{where}values = {inline(values)}\n"
    )


def inline(values: str) -> str:
    """Hyperparameters in JSON as a table of TOML."""
    return "{ " + ", ".join(f"{name} = {json.dumps(value)}" for name, value in json.loads(values).items()) + " }"


def main(path: Path, table: Path, presets: Path = PRESETS) -> None:
    """From the rows at ``path``: the table of trials and the presets."""
    rows = read_rows(path)
    datasets = sorted({row["dataset_name"] for row in rows})
    found = {trial: by_name for trial, by_name in trials(rows).items() if len(by_name) == len(datasets)}
    print(f"{len(rows)} rows, {len(found)} trials on all of {', '.join(datasets)}")
    write_table(table, found, datasets)
    write_presets(presets, found, datasets)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
