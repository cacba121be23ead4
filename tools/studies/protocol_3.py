"""What follows from the searches of protocol 3 (docs/protocol.md): their best trials again, then the presets.

    pdadmm-bench suite runners/tuning/reduced.toml -j 2
    python tools/studies/protocol_3.py few again results/reduced
    pdadmm-bench suite runners/tuning/reduced-again.toml -j 2
    python tools/studies/protocol_3.py few presets results/reduced results/reduced-again
    pdadmm-bench suite runners/accuracy.toml -j 2

``many`` in the place of ``few``: the same with runners/tuning/many-labels.toml, and then runners/many-labels.toml;
``depth`` with runners/tuning/depth-task.toml and runners/depth-methods.toml.

``again`` writes the suite of repetitions: of each method's trials, the three with the highest validation accuracy on a
graph, and the three with the highest mean over the searched graphs, with two further seeds (splits, where none is
public), so that a trial that was lucky is not chosen. ``presets``: the setting with the highest mean of all its runs
becomes the default for a searched graph, and the one with the highest mean over the searched graphs that for every
other; a search without a warm start makes entries for its starting weights. The table in ``reports/tuning`` has every
trial, and can be given in the place of a results folder. Test accuracy is not read. A run that failed counts as 0.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from statistics import mean
from typing import Any, NamedTuple

from choose_defaults import DEPTH, FORMS, MANY, PRESETS, REDUCED, accuracy, form, inline, write_section

from pdadmm_bench.suite.results import Results

BEST = 3
"""How many trials of a search are repeated."""
COLUMNS = ("optimizer", "init", "warm_start", "batch_size", "hyperparameters", "dataset", "acc_val_best")


class Problems(NamedTuple):
    """Problems with hyperparameters of their own: the search, and how what follows from it is written."""

    search: str
    """Its suite, in runners/tuning; the table has its name too."""
    defaults: str
    """Of the suite of repetitions."""
    public: tuple[str, ...]
    """Graphs whose split is the published one; the others are repeated over splits."""
    forms: dict[str, tuple[str, dict[str, str]]]
    head: str
    """What comes before the entries of a preset."""
    where: str
    """What restricts an entry of a preset."""
    network: str
    exact_W: bool = False
    """Whether trials with exact steps go on with exact-W."""

    @property
    def again(self) -> Path:
        """The suite of repetitions."""
        return Path(f"runners/tuning/{self.search}-again.toml")

    @property
    def table(self) -> Path:
        """Every trial."""
        return Path(f"reports/tuning/{self.search}.csv")


PROBLEMS = {
    "few": Problems(
        "reduced",
        'reduce = "rows"\nlayers = 10\nhidden = 500\nthreads = 1\npreset = "none"\neval_every = 10\n',
        ("cora", "citeseer", "pubmed"),
        FORMS,
        REDUCED,
        'splits = ["auto", "public", "random"]\nreduced = true\n',
        "10 × 500",
        exact_W=True,
    ),
    "many": Problems(
        "many-labels",
        'split = "fraction"\nreduce = 256\nlayers = 10\nhidden = 128\nthreads = 1\npreset = "none"\neval_every = 5\n',
        (),
        FORMS,
        MANY,
        'splits = ["fraction", "full"]\n',
        "10 × 128, 60 % of the rows",
    ),
    "depth": Problems(
        "depth-task",
        'hops = 0\nlayers = 10\nhidden = 64\nthreads = 1\npreset = "none"\neval_every = 10\n',
        (),
        FORMS,
        DEPTH,
        'datasets = ["depth"]\n',
        "10 × 64",
    ),
}
HEAD = 'source = "runners/tuning/{}.toml, validation accuracy, tools/studies/protocol_3.py"\n'


class Start(NamedTuple):
    """Where training starts, with a warm start or at full depth, and its batches; 0 rows are all rows."""

    init: str
    warm_start: str
    batch_size: int = 0

    @property
    def common(self) -> bool:
        """Whether it is the one that a run takes unless told otherwise, and that all methods share."""
        return (self.init, self.warm_start) == ("he", "auto")

    @property
    def where(self) -> str:
        """What restricts an entry of a preset to it."""
        batches = "batches = true\n" if self.batch_size else ""
        return batches if self.common else f'init = "{self.init}"\n{batches}'

    def __str__(self) -> str:
        batches = f", batches of {self.batch_size}" if self.batch_size else ""
        return batches if self.common else f" from {self.init}{batches}"

    @property
    def lines(self) -> str:
        """The keys of an entry; all kinds have 200 iterations in all."""
        iterations = 100 if self.warm_start == "auto" else 200
        batches = f"batch_size = {self.batch_size}\n" if self.batch_size else ""
        return f'init = "{self.init}"\nwarm_start = "{self.warm_start}"\niterations = {iterations}\n{batches}'


Place = tuple[str, Start]
"""Optimizer and start."""
Trials = dict[str, dict[str, list[float]]]
"""Hyperparameters as JSON → dataset → best validation accuracy of each run."""
Accuracies = dict[Place, Trials]


def accuracies(sources: Iterable[Path], problems: Problems) -> Accuracies:
    """Best validation accuracies of all runs in results folders and tables of trials, 0 for a run that failed."""
    found: Accuracies = defaultdict(lambda: defaultdict(lambda: defaultdict(list)))
    for source in sources:
        for place, values, dataset, reached in _of_table(source) if source.is_file() else _of_rows(source, problems):
            found[place][values][dataset] += reached
    return found


def _of_rows(folder: Path, problems: Problems) -> Iterator[tuple[Place, str, str, list[float]]]:
    for row in Results(folder).every_row():
        spec = json.loads(row["spec"])
        optimizer, start = row["optimizer_name"], Start(spec["init"], spec["warm_start"], spec.get("batch_size") or 0)
        values = carried(optimizer, spec["set"]) if problems.exact_W else spec["set"]
        yield (optimizer, start), json.dumps(values, sort_keys=True), row["dataset_name"], [accuracy(row)]


def _of_table(path: Path) -> Iterator[tuple[Place, str, str, list[float]]]:
    with path.open(newline="", encoding="utf-8") as file:
        for line in csv.DictReader(file):
            start = Start(line["init"], line["warm_start"], int(line["batch_size"]))
            reached = [float(value) for value in line["acc_val_best"].split()]
            yield (line["optimizer"], start), line["hyperparameters"], line["dataset"], reached


def carried(optimizer: str, values: dict[str, Any]) -> dict[str, Any]:
    """The setting that a trial on few labels stands for.

    Trials with exact steps go on with exact-W, which came after the search: it is as accurate with the same penalties,
    and takes half of the seconds (docs/protocol.md).
    """
    exact = {"pdadmm": values.get("step") == "exact", "pdadmm-m": "step" not in values}
    return {**values, "step": "exact-W"} if exact.get(optimizer) else values


def write_table(path: Path, found: Accuracies) -> None:
    """Every trial on every graph, with the best validation accuracy of each of its runs."""
    with path.open("w", newline="", encoding="utf-8") as file:
        out = csv.writer(file, lineterminator="\n")
        out.writerow(COLUMNS)
        for (optimizer, start), trials in sorted(found.items()):
            for values, by_graph in sorted(trials.items()):
                for dataset, runs in sorted(by_graph.items()):
                    out.writerow([optimizer, *start, values, dataset, " ".join(f"{value:.4f}" for value in runs)])


def on(dataset: str, trials: Trials) -> list[str]:
    """The settings that ran on ``dataset``, the best first."""
    ran = [values for values, by_graph in trials.items() if dataset in by_graph]
    return sorted(ran, key=lambda values: -mean(trials[values][dataset]))


def over_all(trials: Trials, datasets: Sequence[str]) -> list[str]:
    """The settings that ran on all ``datasets``, the best mean first."""
    ran = [values for values, by_graph in trials.items() if all(name in by_graph for name in datasets)]
    return sorted(ran, key=lambda values: -mean(mean(trials[values][name]) for name in datasets))


def again(found: Accuracies, problems: Problems) -> str:
    """The suite that repeats the best trials."""
    text = (
        f"# Made by tools/studies/protocol_3.py, of the rows of {problems.search}.toml.\n"
        'summary = "protocol 3: the best three trials of each search, with two further seeds or splits"\n'
        f"\n[defaults]\n{problems.defaults}"
    )
    for (optimizer, start), trials in found.items():
        datasets = sorted({name for by_graph in trials.values() for name in by_graph})
        common = over_all(trials, datasets)[:BEST]
        for dataset in datasets:
            repeats = "seeds = [1, 2]" if dataset in problems.public else "seeds = 1\nsplit_seeds = [1, 2]"
            for values in dict.fromkeys([*on(dataset, trials)[:BEST], *common]):
                text += (
                    f'\n[[entry]]\noptimizer = "{optimizer}"\ndataset = "{dataset}"\n{start.lines}{repeats}\n'
                    f"set = {inline(values)}\n"
                )
    return text


def presets(found: Accuracies, problems: Problems, folder: Path) -> None:
    """The section of these problems in the presets of every method whose best trials were repeated."""
    chosen = {place: choose(trials) for place, trials in found.items() if repeated(trials)}
    for optimizer, (other, renamed) in problems.forms.items():
        for start in [start for name, start in chosen if name == other]:
            chosen[optimizer, start] = {
                name: (reached, form(values, renamed)) for name, (reached, values) in chosen[other, start].items()
            }
    text: dict[str, str] = defaultdict(str)
    # The later entry wins: the common start and all rows come first.
    for (optimizer, start), by_graph in sorted(chosen.items(), key=lambda item: (not item[0][1].common, item[0])):
        text[optimizer] += "".join(entry(dataset, *best, start, problems) for dataset, best in by_graph.items())
    for optimizer, entries in text.items():
        write_section(folder / f"{optimizer}.toml", HEAD.format(problems.search), problems.head, entries)


def repeated(trials: Trials) -> Trials:
    """The settings with several runs on a graph, and these runs."""
    several = {
        values: {name: runs for name, runs in by_graph.items() if len(runs) > 1} for values, by_graph in trials.items()
    }
    return {values: by_graph for values, by_graph in several.items() if by_graph}


def choose(trials: Trials) -> dict[str, tuple[float, str]]:
    """Graph → mean validation accuracy and setting of the best of those that were repeated there; "" is any graph."""
    searched, again = sorted({name for by_graph in trials.values() for name in by_graph}), repeated(trials)
    common = over_all(again, searched)[0]
    best = {"": (mean(mean(again[common][name]) for name in searched), common)}
    for name in searched:
        own = on(name, again)[0]
        if own != common:
            best[name] = mean(again[own][name]), own
    return best


def entry(dataset: str, reached: float, values: str, start: Start, problems: Problems) -> str:
    """One entry of a preset."""
    where, graphs = (f'datasets = ["{dataset}"]\n', "") if dataset else ("", " of each searched graph")
    return (
        f"\n# best validation accuracy in % at {problems.network}{start}, mean of three seeds or splits{graphs}: "
        f"{100 * reached:.1f}\n[[entry]]\n{where}{problems.where}{start.where}values = {inline(values)}\n"
    )


def main(arguments: list[str] | None = None) -> None:
    """Write the suite of repetitions, or the presets and the table of trials."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("problems", choices=PROBLEMS)
    parser.add_argument("step", choices=("again", "presets"))
    parser.add_argument("sources", type=Path, nargs="+", help="results folders, or tables of trials")
    given = parser.parse_args(arguments)
    problems = PROBLEMS[given.problems]
    found = accuracies(given.sources, problems)
    if given.step == "again":
        problems.again.write_text(again(found, problems), encoding="utf-8")
    else:
        presets(found, problems, PRESETS)
        write_table(problems.table, found)


if __name__ == "__main__":
    main()
