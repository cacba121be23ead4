"""What ``suite`` shows before it starts anything: the runs, what becomes of them, and what they will take."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.text import Text

from pdadmm_bench.cli.views.console import show
from pdadmm_bench.core.env import cores, environment
from pdadmm_bench.report.tables.suite_plan import SuitePlanLine, suite_plan_table
from pdadmm_bench.report.units import duration
from pdadmm_bench.suite.labels import RunLabels, network, runs
from pdadmm_bench.suite.plan import Plan, PlannedRun


def show_plan(plan: Plan, jobs: int, where: str, console: Console) -> None:
    """Print the plan: a line per setting over its seeds, then the totals."""
    suite, labels = plan.suite, RunLabels(plan.runs)
    groups: dict[tuple[str, ...], list[PlannedRun]] = {}
    for run in plan.runs:
        name = (run.spec.data.dataset, run.spec.optimizer, network(run.spec), labels.setting(run), str(run.spec.gpus))
        groups.setdefault(name, []).append(run)
    title = f"{plan.suite.name}: {plan.suite.summary}"
    show(suite_plan_table(title, (_setting(name, members) for name, members in groups.items())), console=console)
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


def _setting(name: tuple[str, ...], members: Sequence[PlannedRun]) -> SuitePlanLine:
    """The runs of one setting over its seeds."""
    dataset, optimizer, layers_units, setting, workers = name
    found = next((run.estimate for run in members if run.estimate is not None), None)
    first, actions = members[0], Counter(run.action for run in members)
    return SuitePlanLine(
        dataset=dataset,
        optimizer=optimizer,
        network=layers_units,
        setting=setting or None,
        workers=int(workers),
        partition=",".join(map(str, found.layers)) if found and first.spec.gpus > 1 else None,
        threads=first.threads,
        runs=len(members),
        finished=actions["finished"] or None,
        skipped=actions["skip"] or None,
        to_make=actions["make"] or None,
        seconds=found.seconds if found else None,
        num_bytes=found.num_bytes if found else None,
    )


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
