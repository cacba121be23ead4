"""Training runs, with a progress bar, and without a store unless one is asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Unpack

from pdadmm_bench.cli.views.live import LiveView
from pdadmm_bench.core.errors import UserError, short, unknown
from pdadmm_bench.core.names import by_setting
from pdadmm_bench.core.presets import check as check_preset
from pdadmm_bench.core.protocol import is_custom
from pdadmm_bench.core.rows import Row
from pdadmm_bench.core.spec import DataSpec, RunSpec, run_spec
from pdadmm_bench.data.catalog import load_card
from pdadmm_bench.data.own_rows import described
from pdadmm_bench.data.problem import Problem
from pdadmm_bench.library.load import load
from pdadmm_bench.library.results import Results
from pdadmm_bench.library.settings import AllSettings, RunSettings
from pdadmm_bench.optim import registry
from pdadmm_bench.training.planned import plan
from pdadmm_bench.training.session import NoTracking, Tracking, train_specs

_ARGUMENTS = {
    "gpus": "workers", "seed": "seeds", "optimizer": "optimizers", "quiet": "progress", "json_file": "json",
}  # fmt: skip
"""What the command or a specification calls an argument of :func:`run`."""


def spec(**settings: Unpack[AllSettings]) -> RunSpec:
    """One run, fully named: what :mod:`pdadmm_bench.runner` trains. ``workers`` and ``gpus`` are one setting.

    Raises :class:`~pdadmm_bench.core.errors.UserError` for a setting, dataset, optimizer or preset that is not known,
    and for a value that is not possible.
    """
    made = run_spec(by_setting(settings))
    registry.check(made.optimizer)
    check_preset(made.preset)
    if not is_custom(made.data.dataset):
        load_card(made.data.dataset)
    return made


def run(
    problem: Problem | str,
    optimizers: str | Sequence[str] = "pdadmm",
    *,
    seeds: int | str | Sequence[int] = 1,
    workers: int = 1,
    json: str | Path | None = None,
    checkpoint: str | Path | None = None,
    experiment: str | None = None,
    tracking_uri: str | None = None,
    progress: bool = True,
    **settings: Unpack[RunSettings],
) -> Results:
    """Train optimizers on one problem, over seeds, as ``pdadmm-bench run`` does, one run after the other.

    A run that fails is a row whose ``status`` says why. After Ctrl-C the runs so far are returned.

    Args:
        problem: from :func:`load` or :func:`from_pyg`, rows of one's own, or the name of a dataset.
        optimizers: names, or ``all`` for every one.
        seeds: how many, from 0 on, or which.
        workers: processes that the layers, or the rows, are split over; on the CPU without CUDA devices.
        json: write the rows to this file, and their steps beside it.
        checkpoint: folder of checkpoints: a run that was interrupted goes on from its last one.
        experiment: track the runs in this MLflow experiment; by default they are tracked nowhere.
        tracking_uri: track the runs in this MLflow store.
        progress: show a bar in a terminal or notebook, and a line per run; failures and warnings are always shown.
        settings: as the options of the command: ``layers``, ``hidden``, ``iterations``, ``set`` and the like.

    Raises :class:`~pdadmm_bench.core.errors.UserError` for input that the command would refuse.
    """
    _check_settings(settings)
    chosen = [optimizers] if isinstance(optimizers, str) else list(optimizers)
    for name in chosen:
        if name != "all":  # before anything is loaded
            registry.check(name)
    problem = described(load(problem) if isinstance(problem, str) else problem)
    assert problem.settings is not None
    outside = {
        "seeds": list(seeds) if isinstance(seeds, Sequence) and not isinstance(seeds, str) else seeds,
        "json_file": json, "checkpoint": checkpoint, "experiment": experiment, "tracking_uri": tracking_uri,
    }  # fmt: skip
    options = {**problem.settings.model_dump(), **settings, "optimizer": chosen, "gpus": workers}
    output, specs = plan({**options, **{name: value for name, value in outside.items() if value is not None}})
    for preset in dict.fromkeys(each.preset for each in specs):
        check_preset(preset)
    view = _Progress(specs=specs, quiet=not progress)
    rows = train_specs(specs, output, view, _tracking(experiment, tracking_uri), problem)
    return Results(rows, view.histories)


def _check_settings(settings: Mapping[str, Any]) -> None:
    """Refuse what is no setting of a run: the plan would take it for an option of the command, or write over it."""
    if misplaced := [name for name in settings if name in DataSpec.model_fields]:
        raise UserError(f"{', '.join(misplaced)}: a setting of the data; give it to load() or from_pyg()")
    for name, value in settings.items():
        if name in _ARGUMENTS:
            raise UserError(f"{name}={short(value)}: run() has the argument {_ARGUMENTS[name]} for it")
        if name not in RunSettings.__annotations__:
            raise unknown("run option", name, [*RunSettings.__annotations__, *_ARGUMENTS.values()])


def _tracking(experiment: str | None, tracking_uri: str | None) -> Tracking:
    if experiment is None and tracking_uri is None:
        return NoTracking()
    from pdadmm_bench.tracking.session import MlflowTracking  # imports MLflow, which takes seconds

    return MlflowTracking()


class _Progress(LiveView):
    """The display of the command without its final table; keeps the steps of every run."""

    def __init__(self, *, specs: Sequence[RunSpec], quiet: bool):
        super().__init__(specs=specs, quiet=quiet)
        self.histories: dict[str, list[dict[str, float]]] = {}

    def finished(self, row: Row, history: Sequence[Mapping[str, float]]) -> None:
        super().finished(row, history)
        self.histories[str(row["run_id"])] = [dict(step) for step in history]

    def summary(self, rows: Sequence[Row]) -> None:
        """Nothing: the caller has the rows."""
