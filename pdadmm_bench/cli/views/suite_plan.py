"""What ``suite`` shows before it starts anything: the runs, what becomes of them, and what they will take."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pdadmm_bench.core.env import cores, environment
from pdadmm_bench.core.spec import RunSpec
from pdadmm_bench.suite.file import DEFAULTS, SETTINGS
from pdadmm_bench.suite.plan import Plan, Planned

#: Told by every label, or by none.
_NETWORK = ("dataset", "layers", "hidden")
_ALWAYS = (*_NETWORK, "optimizer", "seed", "preset")
_SEEDS = ("split_seed",)


class Labels:
    """Names for the runs of a plan: optimizer, dataset, network and seed, and whatever else differs among them."""

    def __init__(self, runs: Sequence[Planned]):
        flats = [run.spec.flat() for run in runs]
        varied = [key for key in SETTINGS if len({json.dumps(flat[key]) for flat in flats}) > 1]
        self._keys = [key for key in varied if key not in _ALWAYS]
        # Hyperparameters that follow from dataset and network, through a preset, tell nothing apart.
        values: dict[tuple[str, str, str], set[str]] = {}
        for run, flat in zip(runs, flats, strict=True):
            others = json.dumps([flat[key] for key in (*_NETWORK, *self._keys) if key not in _SEEDS])
            for key, value in hyperparameters(run).items():
                values.setdefault((run.spec.optimizer, key, others), set()).add(json.dumps(value))
        self._hyper = {(optimizer, key) for (optimizer, key, _), found in values.items() if len(found) > 1}

    def setting(self, run: Planned, workers: bool = False) -> str:
        """What tells the run apart apart from optimizer, dataset, network and seeds, as far as it is no default."""
        flat = run.spec.flat()
        shown = [key for key in self._keys if key not in _SEEDS and flat[key] != DEFAULTS[key]]
        parts = [f"{key}={_short(flat[key])}" for key in shown if workers or key != "gpus"]
        own = {key: value for key, value in hyperparameters(run).items() if (run.spec.optimizer, key) in self._hyper}
        return " ".join(parts + [f"{key}={_short(value)}" for key, value in own.items()])

    def full(self, run: Planned) -> str:
        """The run in one line."""
        split = f"split {run.spec.data.split_seed}" if "split_seed" in self._keys else ""
        parts = (run.spec.optimizer, run.spec.data.dataset, network(run.spec), self.setting(run, workers=True), split)
        return " ".join(part for part in (*parts, f"seed {run.spec.seed}") if part)


def hyperparameters(run: Planned) -> dict[str, Any]:
    """The run's hyperparameters after presets."""
    return json.loads(run.settings)["hyperparameters"]


def network(spec: RunSpec) -> str:
    """Layers × units."""
    return f"{spec.model.layers}×{spec.model.hidden}"


def show_plan(plan: Plan, jobs: int, where: str, console: Console) -> None:
    """Print the plan: a line per setting over its seeds, then the totals."""
    suite, labels = plan.suite, Labels(plan.runs)
    groups: dict[tuple[str, ...], list[Planned]] = {}
    for run in plan.runs:
        name = (run.spec.data.dataset, run.spec.optimizer, network(run.spec), labels.setting(run), str(run.spec.gpus))
        groups.setdefault(name, []).append(run)
    console.print(_table(plan, groups), soft_wrap=False)
    for line in _totals(plan, jobs, where):
        console.print(Text(line), soft_wrap=True)
    for dataset, count in plan.left_out.items():
        text = f"left out: {runs(count)} on {dataset}, which is not here (pdadmm-bench prepare {dataset} fetches it)"
        console.print(Text(text), soft_wrap=True)
    absent = Counter((run.spec.data.dataset, run.found.missing) for run in plan.to_make() if run.found.missing)
    for (dataset, files), count in absent.items():
        text = f"{runs(count)} on {dataset}, which is fetched first ({files[0]} and the others are not here)"
        console.print(Text(text), soft_wrap=True)
    for action in ("skip", "make"):
        reasons = Counter(run.reason for run in plan.runs if run.action == action and run.reason)
        for reason, count in reasons.items():
            skipped = action == "skip"
            text = f"{runs(count)} {'skipped: ' if skipped else ''}{reason}"
            console.print(Text(text, style="yellow" if skipped else ""), soft_wrap=True)
    if suite.duplicates:
        console.print(f"{suite.duplicates} of the combinations name a run that another one names too: made once")


def _table(plan: Plan, groups: dict[tuple[str, ...], list[Planned]]) -> Table:
    table = Table(title=Text(f"{plan.suite.name}: {plan.suite.summary}"), title_style="bold", title_justify="left")
    lines = [_line(name, members) for name, members in groups.items()]
    for number, heading in enumerate(lines[0]):
        if any(line[heading] for line in lines):
            table.add_column(heading, justify="left" if number < 4 else "right")
    for line in lines:
        table.add_row(*(Text(line[str(column.header)]) for column in table.columns))
    return table


def _line(name: tuple[str, ...], members: Sequence[Planned]) -> dict[str, str]:
    """One line of the table by its headings: the runs of a setting over its seeds."""
    dataset, optimizer, layers_units, setting, workers = name
    found = next((run.estimate for run in members if run.estimate is not None), None)
    first, actions = members[0], Counter(run.action for run in members)
    return {
        "dataset": dataset,
        "optimizer": optimizer,
        "layers × units": layers_units,
        "setting": setting,
        "workers": workers,
        "partition": ",".join(map(str, found.layers)) if found and first.spec.gpus > 1 else "",
        "threads": str(first.threads),
        "runs": str(len(members)),
        "finished": str(actions["finished"] or ""),
        "skipped": str(actions["skip"] or ""),
        "to make": str(actions["make"] or ""),
        "predicted s/run": f"{found.seconds:.3g}" if found else "",
        "predicted memory": f"{found.num_bytes / 1e6:,.0f} MB" if found else "",
    }


def _totals(plan: Plan, jobs: int, where: str) -> Iterable[str]:
    actions = Counter(run.action for run in plan.runs)
    parts = [f"{actions['make']} to make", f"{actions['finished']} finished", f"{actions['skip']} skipped"]
    yield f"{runs(len(plan.runs))} (suite version {plan.suite.version}): {', '.join(parts)}; {where}"
    estimates = [run.estimate for run in plan.to_make() if run.estimate is not None]
    if not estimates:
        return
    at_once = sorted((found.num_bytes for found in estimates), reverse=True)[:jobs]
    seconds = max(sum(found.seconds for found in estimates) / jobs, max(found.seconds for found in estimates))
    side = f", {jobs} runs side by side" if jobs > 1 else ""
    yield (
        f"predicted by the cost model and this machine's rates: {duration(seconds)} on {cores()} cores{side}, "
        f"up to {sum(at_once) / 1e9:.2g} GB at once"
    )
    total = environment()["env_memory_bytes"]
    if isinstance(total, int) and sum(at_once) > total:
        yield f"warning: this machine has {total / 1e9:.2g} GB; runs that are out of memory fail, and the others go on"
    if jobs > 1:
        yield f"-j {jobs}: the rows say env_concurrency={jobs}, and their times are no timings"


def runs(count: int) -> str:
    """``1 run``, ``2 runs``."""
    return "1 run" if count == 1 else f"{count:,} runs"


def duration(seconds: float) -> str:
    """A duration for planning: in seconds, minutes, or hours and minutes."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60:02} min"


def _short(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
