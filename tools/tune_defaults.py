"""Choose ``runners/tuning/default`` by validation accuracy over the grids of ``runners/tuning/spaces/small.toml``.

    python tools/tune_defaults.py search reports/tuning/small.jsonl   # resumable: finished trials are skipped
    python tools/tune_defaults.py choose reports/tuning/small.jsonl   # writes runners/tuning/default/*.toml

A trial is one run (seed 0, split seed 0, 60 iterations, evaluated every fifth) of 2 × 500 or 10 × 256 on one
dataset. The value is its best validation accuracy; test accuracy is neither looked at nor stored. Per depth, the values
with the best mean over the datasets become the default for any dataset, and a dataset's own best joins only where it is
more than one standard error better there. The other datasets were left out on purpose: they show how the defaults carry
over.
"""

from __future__ import annotations

import itertools
import json
import sys
from collections import defaultdict
from pathlib import Path
from statistics import mean

from pdadmm_bench.core import share
from pdadmm_bench.core.spec import run_spec
from pdadmm_bench.core.typed import read_toml
from pdadmm_bench.data.load import load_problem
from pdadmm_bench.runner import run

DATASETS = ("pubmed", "photo", "cora")
NETWORKS = ((2, 500), (10, 256))
WORTH = 0.02
"""One standard error of an accuracy near 0.75 on the 500 validation nodes of a Planetoid graph (0.019), rounded up."""


def combinations(space: dict[str, list[float]]) -> list[dict[str, float]]:
    """Every combination of a grid, with ``rho_per_nu`` turned into ``rho``."""
    grid = [dict(zip(space, values, strict=True)) for values in itertools.product(*space.values())]
    for values in grid:
        if "rho_per_nu" in values:
            values["rho"] = values.pop("rho_per_nu") * values["nu"]
    return grid


def key(trial: dict) -> str:
    return json.dumps([trial[name] for name in ("dataset", "layers", "hidden", "optimizer", "set")], sort_keys=True)


def read(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def search(path: Path) -> None:
    spaces = read_toml(share.find("runners/tuning/spaces/small.toml"))
    done = {key(trial) for trial in read(path)}
    for dataset, (layers, hidden) in itertools.product(DATASETS, NETWORKS):
        problem = load_problem(run_spec({"dataset": dataset}).data)
        for optimizer, space in spaces.items():
            for values in combinations(space):
                trial = {"dataset": dataset, "layers": layers, "hidden": hidden, "optimizer": optimizer, "set": values}
                if key(trial) in done:
                    continue
                settings = {**trial, "preset": "none", "iterations": 60, "eval_every": 5, "threads": 1}
                row = run(run_spec(settings), problem).row
                trial |= {"acc_val_best": row["acc_val_best"], "status": row["status"]}
                trial |= {"seconds": row["time_train_s"]}
                with path.open("a") as file:
                    file.write(json.dumps(trial) + "\n")
                print(trial, flush=True)


def choose(path: Path) -> None:
    by_network = defaultdict(lambda: defaultdict(dict))
    for trial in read(path):
        network, values = (trial["optimizer"], trial["layers"]), json.dumps(trial["set"], sort_keys=True)
        by_network[network][values][trial["dataset"]] = trial["acc_val_best"] or 0.0
    entries = defaultdict(list)
    for (optimizer, layers), results in sorted(by_network.items(), key=lambda item: -item[0][1]):
        datasets = [name for name in DATASETS if all(name in accs for accs in results.values())]
        complete = {values: {name: accs[name] for name in datasets} for values, accs in results.items()}
        common = max(complete, key=lambda values: mean(complete[values].values()))
        depth = f"layers = {layers}\n" if layers == 2 else ""
        entries[optimizer].append((depth, json.loads(common), complete[common]))
        for dataset in datasets:
            own = max(complete, key=lambda values: complete[values][dataset])
            if complete[own][dataset] > complete[common][dataset] + WORTH:
                where = f'datasets = ["{dataset}"]\nlayers = {layers}\n'
                entries[optimizer].append((where, json.loads(own), {dataset: complete[own][dataset]}))
    for optimizer, chosen in entries.items():
        text = 'source = "tools/tune_defaults.py, validation accuracy, runners/tuning/spaces/small.toml"\n'
        for where, values, accs in chosen:
            found = ", ".join(f"{dataset} {100 * acc:.1f}" for dataset, acc in accs.items())
            inline = ", ".join(f"{name} = {value:g}" for name, value in values.items())
            text += f"\n# best validation accuracy in %: {found}\n[[entry]]\n{where}values = {{ {inline} }}\n"
        Path(f"runners/tuning/default/{optimizer}.toml").write_text(text)


if __name__ == "__main__":
    {"search": search, "choose": choose}[sys.argv[1]](Path(sys.argv[2]))
