"""The suites of protocol 3 that follow from its search (docs/protocol.md).

    pdadmm-bench suite runners/protocol-3/search-few.toml -j 2
    python tools/studies/protocol_3.py again runners/protocol-3/again-few.toml results/search-few
    pdadmm-bench suite runners/protocol-3/again-few.toml -j 2
    python tools/studies/protocol_3.py final runners/protocol-3/few.toml results/search-few results/again-few
    pdadmm-bench suite runners/protocol-3/few.toml

``again``: of each method's trials from each start, the three with the highest validation accuracy on a graph, and the
three with the highest mean over the searched graphs, with two further seeds (splits, where none is public), so that a
trial that was lucky is not chosen. ``final``: the setting with the highest mean of all its runs, for every searched
graph; the graphs that were kept out take the one with the highest mean over the searched graphs. Test accuracy is not
read. A run that failed counts as 0.
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import mean
from typing import NamedTuple

from pdadmm_bench.core.rows import Row
from pdadmm_bench.suite.results import Results

BEST = 3
"""How many trials of a search are repeated."""
PUBLIC = ("cora", "citeseer", "pubmed")
"""Graphs whose split is public; the others are repeated over splits."""
KEPT_OUT = ("cs",)
QUANTISED = "pdadmm-q"
"""Takes the values of pdADMM, with ρ = ν."""
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


Accuracies = dict[tuple[str, Start], dict[str, dict[str, list[float]]]]
"""(optimizer, start) → hyperparameters as JSON → dataset → best validation accuracy of each run."""


def accuracies(rows: Iterable[Row]) -> Accuracies:
    """Best validation accuracies of all runs, 0 for one that failed."""
    found: Accuracies = defaultdict(lambda: defaultdict(lambda: defaultdict(list)))
    for row in rows:
        spec = json.loads(row["spec"])
        place = row["optimizer_name"], Start(spec["init"], spec["warm_start"])
        value = (row.get("acc_val_best") or 0.0) if row["status"] == "ok" else 0.0
        found[place][json.dumps(spec["set"], sort_keys=True)][row["dataset_name"]].append(value)
    return found


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


def final(found: Accuracies) -> str:
    """The suite of the runs that count: every method with its settings, on every graph, two layers and ten."""
    text = 'summary = "protocol 3: every method on five graphs, few labels, two and ten layers × 500"\n' + DEFAULTS
    text += "eval_every = 5\n"
    for dataset in (*PUBLIC, "photo", *KEPT_OUT):
        for start, chosen in by_start(found, dataset).items():
            if not chosen:
                continue
            sets = "".join(f"set.{optimizer} = {inline(values)}\n" for optimizer, values in chosen.items())
            names = json.dumps(list(chosen))
            repeats = "seeds = 10" if dataset in PUBLIC else "seeds = 2\nsplit_seeds = 5"
            head = f'\n[[entry]]\ndataset = "{dataset}"\noptimizer = {names}\n{repeats}\n'
            text += head + start.lines + sets
            if start.warm_start == "auto":
                text += head + "layers = 2\niterations = 200\n" + sets
    return text


def by_start(found: Accuracies, dataset: str) -> dict[Start, dict[str, str]]:
    """Start → optimizer → its chosen setting: warm, and at full depth from the better of its two starting points."""
    chosen: dict[Start, dict[str, str]] = defaultdict(dict)
    for warm_start in ("auto", "none"):
        for optimizer in dict.fromkeys(optimizer for optimizer, _ in found):
            best: tuple[float, Start, str] | None = None
            for (name, start), trials in found.items():
                if name == optimizer and start.warm_start == warm_start and (setting := choose(trials, dataset)):
                    best = max([(*setting[:1], start, setting[1]), *([best] if best else [])])
            if best:
                chosen[best[1]][optimizer] = best[2]
    for settings in chosen.values():
        if "pdadmm" in settings:
            values = json.loads(settings["pdadmm"])
            settings[QUANTISED] = json.dumps({**values, "rho": values["nu"]}, sort_keys=True)
    return chosen


def choose(trials: dict[str, dict[str, list[float]]], dataset: str) -> tuple[float, str] | None:
    """The highest mean validation accuracy of a repeated setting, and the setting; None where nothing was repeated."""
    searched = sorted({name for by_graph in trials.values() for name in by_graph})
    repeated = {
        values: by_graph for values, by_graph in trials.items() if any(len(runs) > 1 for runs in by_graph.values())
    }
    if dataset in searched:
        best = [values for values in on(dataset, repeated) if len(repeated[values][dataset]) > 1]
        return (mean(repeated[best[0]][dataset]), best[0]) if best else None
    common = {
        values: by_graph
        for values, by_graph in repeated.items()
        if all(len(by_graph.get(name, [])) > 1 for name in searched)
    }
    best = over_all(common, searched)
    return (mean(mean(common[best[0]][name]) for name in searched), best[0]) if best else None


def inline(values: str) -> str:
    """Hyperparameters in JSON as a table of TOML."""
    return "{ " + ", ".join(f"{name} = {json.dumps(value)}" for name, value in json.loads(values).items()) + " }"


def main(step: str, suite: Path, folders: Sequence[Path]) -> None:
    """Write the ``suite`` of the ``step`` from the rows of results ``folders``."""
    found = accuracies(row for folder in folders for row in Results(folder).every_row())
    made = " ".join(["python tools/studies/protocol_3.py", step, suite.as_posix(), *(f"results/{f.name}" for f in folders)])
    suite.write_text(f"# Made by: {made}\n" + {"again": again, "final": final}[step](found), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), [Path(word) for word in sys.argv[3:]])
