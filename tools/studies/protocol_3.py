"""What follows from the search of protocol 3 (docs/protocol.md): its best trials again, then the presets.

    pdadmm-bench suite runners/tuning/reduced.toml -j 2
    python tools/studies/protocol_3.py again results/reduced
    pdadmm-bench suite runners/tuning/reduced-again.toml -j 2
    python tools/studies/protocol_3.py presets results/reduced results/reduced-again
    pdadmm-bench suite runners/accuracy.toml -j 2 --filter warm_start=auto

``again`` writes runners/tuning/reduced-again.toml: of each method's trials, the three with the highest validation
accuracy on a graph, and the three with the highest mean over the searched graphs, with two further seeds (splits, where
none is public), so that a trial that was lucky is not chosen. ``presets``: the setting with the highest mean of all its
runs becomes the default for a searched graph with reduced features, and the one with the highest mean over the searched
graphs that for every other. ``reports/tuning/reduced.csv`` has every trial. Test accuracy is not read. A run that
failed counts as 0.
"""

from __future__ import annotations

import csv
import json
import sys
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import mean
from typing import Any, NamedTuple

from choose_defaults import FORMS, PRESETS, REDUCED, accuracy, form, inline, write_section

from pdadmm_bench.core.rows import Row
from pdadmm_bench.suite.results import Results

BEST = 3
"""How many trials of a search are repeated."""
PUBLIC = ("cora", "citeseer", "pubmed")
"""Graphs whose split is public; the others are repeated over splits."""
TABLE = Path("reports/tuning/reduced.csv")
SUITE = Path("runners/tuning/reduced-again.toml")
DEFAULTS = """
[defaults]
reduce = "rows"
layers = 10
hidden = 500
threads = 1
preset = "none"
"""


class Start(NamedTuple):
    """Where training starts: a starting point of the weights, with a warm start or at full depth."""

    init: str
    warm_start: str

    @property
    def lines(self) -> str:
        """The keys of an entry; both kinds have 200 iterations in all."""
        iterations = 100 if self.warm_start == "auto" else 200
        return f'init = "{self.init}"\nwarm_start = "{self.warm_start}"\niterations = {iterations}\n'


COMMON = Start("he", "auto")
HEAD = 'source = "runners/tuning/reduced.toml, validation accuracy, tools/studies/protocol_3.py"\n'
WHERE = 'splits = ["auto", "public", "random"]\nreduced = true\n'
"""What restricts an entry to few labelled rows with reduced features."""

Accuracies = dict[tuple[str, Start], dict[str, dict[str, list[float]]]]
"""(optimizer, start) → hyperparameters as JSON → dataset → best validation accuracy of each run."""


def accuracies(rows: Iterable[Row]) -> Accuracies:
    """Best validation accuracies of all runs, 0 for one that failed."""
    found: Accuracies = defaultdict(lambda: defaultdict(lambda: defaultdict(list)))
    for row in rows:
        spec = json.loads(row["spec"])
        place = row["optimizer_name"], Start(spec["init"], spec["warm_start"])
        values = json.dumps(carried(row["optimizer_name"], spec["set"]), sort_keys=True)
        found[place][values][row["dataset_name"]].append(accuracy(row))
    return found


def carried(optimizer: str, values: dict[str, Any]) -> dict[str, Any]:
    """The setting that a trial stands for.

    Trials with exact steps go on with exact-W, which came after the search: it is as accurate with the same penalties,
    and takes half of the seconds (docs/protocol.md).
    """
    exact = {"pdadmm": values.get("step") == "exact", "pdadmm-m": "step" not in values}
    return {**values, "step": "exact-W"} if exact.get(optimizer) else values


def write_table(path: Path, found: Accuracies) -> None:
    """Every trial on every graph, with the best validation accuracy of each of its runs."""
    with path.open("w", newline="", encoding="utf-8") as file:
        out = csv.writer(file, lineterminator="\n")
        out.writerow(["optimizer", "init", "warm_start", "hyperparameters", "dataset", "acc_val_best"])
        for (optimizer, start), trials in sorted(found.items()):
            for values, by_graph in sorted(trials.items()):
                for dataset, runs in sorted(by_graph.items()):
                    out.writerow([optimizer, *start, values, dataset, " ".join(f"{value:.4f}" for value in runs)])


def on(dataset: str, trials: dict[str, dict[str, list[float]]]) -> list[str]:
    """The settings that ran on ``dataset``, the best first."""
    ran = [values for values, by_graph in trials.items() if dataset in by_graph]
    return sorted(ran, key=lambda values: -mean(trials[values][dataset]))


def over_all(trials: dict[str, dict[str, list[float]]], datasets: Sequence[str]) -> list[str]:
    """The settings that ran on all ``datasets``, the best mean first."""
    ran = [values for values, by_graph in trials.items() if all(name in by_graph for name in datasets)]
    return sorted(ran, key=lambda values: -mean(mean(trials[values][name]) for name in datasets))


def again(found: Accuracies) -> str:
    """The suite that repeats the best trials."""
    text = 'summary = "protocol 3: the best three trials of each search, with two further seeds or splits"\n' + DEFAULTS
    text += "eval_every = 10\n"
    for (optimizer, start), trials in found.items():
        datasets = sorted({name for by_graph in trials.values() for name in by_graph})
        common = over_all(trials, datasets)[:BEST]
        for dataset in datasets:
            repeats = "seeds = [1, 2]" if dataset in PUBLIC else "seeds = 1\nsplit_seeds = [1, 2]"
            for values in dict.fromkeys([*on(dataset, trials)[:BEST], *common]):
                text += (
                    f'\n[[entry]]\noptimizer = "{optimizer}"\ndataset = "{dataset}"\n{start.lines}{repeats}\n'
                    f"set = {inline(values)}\n"
                )
    return text


def presets(found: Accuracies, folder: Path) -> None:
    """The section of reduced features in the presets of every method, from the common start."""
    chosen = {optimizer: choose(trials) for (optimizer, start), trials in found.items() if start == COMMON}
    for optimizer, (other, renamed) in FORMS.items():
        if other in chosen:
            chosen[optimizer] = {
                name: (reached, form(values, renamed)) for name, (reached, values) in chosen[other].items()
            }
    for optimizer, by_graph in chosen.items():
        text = "".join(entry(dataset, *best) for dataset, best in by_graph.items())
        write_section(folder / f"{optimizer}.toml", HEAD, REDUCED, text)


def choose(trials: dict[str, dict[str, list[float]]]) -> dict[str, tuple[float, str]]:
    """Graph → mean validation accuracy and setting of the best of those that were repeated there; "" is any graph."""
    searched = sorted({name for by_graph in trials.values() for name in by_graph})
    repeated = {
        values: {name: runs for name, runs in by_graph.items() if len(runs) > 1} for values, by_graph in trials.items()
    }
    common = over_all(repeated, searched)[0]
    best = {"": (mean(mean(repeated[common][name]) for name in searched), common)}
    for name in searched:
        own = on(name, repeated)[0]
        if own != common:
            best[name] = mean(repeated[own][name]), own
    return best


def entry(dataset: str, reached: float, values: str) -> str:
    """One entry of a preset."""
    where, graphs = (f'datasets = ["{dataset}"]\n', "") if dataset else ("", " of each searched graph")
    return (
        f"\n# best validation accuracy in % at 10 × 500, mean of three seeds or splits{graphs}: {100 * reached:.1f}\n"
        f"[[entry]]\n{where}{WHERE}values = {inline(values)}\n"
    )


def main(step: str, folders: Sequence[Path]) -> None:
    """Take the ``step`` with the rows of results ``folders``."""
    found = accuracies(row for folder in folders for row in Results(folder).every_row())
    if step == "again":
        text = f"# Made by tools/studies/protocol_3.py, of the rows of reduced.toml.\n{again(found)}"
        SUITE.write_text(text, encoding="utf-8")
    else:
        presets(found, PRESETS)
        write_table(TABLE, found)


if __name__ == "__main__":
    main(sys.argv[1], [Path(word) for word in sys.argv[2:]])
