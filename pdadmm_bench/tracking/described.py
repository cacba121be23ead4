"""The description of a run for MLflow: name, params, tags, dataset and configuration, from the values of its row."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from pdadmm_bench.core.names import run_name
from pdadmm_bench.core.rows import Row, status_of
from pdadmm_bench.report.figures.style import colour_of

if TYPE_CHECKING:
    from pdadmm_bench.core.spec import RunSpec

#: The columns of a row about the placement of its run; those of _PLACEMENT mean something for several workers only.
_MACHINE = ("dist_workers", "dist_device", "dist_threads")
_PLACEMENT = ("dist_partition", "dist_wire")

#: Settings that are params of every run.
_ALWAYS = ("dataset", "optimizer", "layers", "hidden", "seed", "gpus", "iterations")
_NO_HYPERPARAMETERS = ("optimizer_name", "optimizer_preset", "optimizer_precision")

#: The tag with the colour in which the UI draws a run.
COLOUR = "mlflow.runColor"

#: Columns of rows of suites, and the tags that are made of them.
_SUITE_TAGS = {
    "env_suite": "suite", "suite_version": "suite_version", "env_run_key": "run_key", "env_concurrency": "concurrency",
}  # fmt: skip


@dataclass(kw_only=True)
class Run:
    """A run as MLflow is to have it, and how much of it is known to have arrived there."""

    id: str
    """Our own id, which is the tag ``record`` in MLflow. For a training run it is the ``run_id`` of its row."""
    name: str
    began: int
    """Milliseconds since 1970."""
    params: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    dataset: dict[str, Any] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    """Text artifacts by name."""
    parent_run_id: str | None = None
    """The id of its parent in MLflow; None for a parent."""
    run_id: str | None = None
    """Its id in MLflow; None while it is not there, or is not known to be."""
    tried: bool = False
    """Whether it may be in the store although ``run_id`` is unknown: another process may have made it."""
    described: bool = False
    """Whether params, tags, dataset and texts have arrived."""


@dataclass(kw_only=True)
class TrainingRun(Run):
    """A training run, with its results so far."""

    row: Row | None = None
    """None until the run is over."""
    steps: list[dict[str, float]] = field(default_factory=list)
    logs: dict[str, str] = field(default_factory=dict)
    """Text artifacts of its end, such as the log of a worker that failed."""
    arrived: set[int] | None = None
    """The iterations whose metrics have arrived; None where only the store knows."""

    def at(self, seconds: float) -> int:
        """The time of a metric after so many seconds of training, in milliseconds since 1970.

        It depends on the run alone, not on when the metric is sent. So a metric that is sent twice is stored once.
        """
        return self.began + int(1000 * seconds)


@dataclass(kw_only=True)
class ParentRun(Run):
    """The run of one command, which has training runs as its children."""

    store: str
    """The address of the store without passwords."""
    experiment: str
    files: list[str] = field(default_factory=list)
    """Files with the rows of its children; the rows there get their ids in MLflow."""
    rows: list[Row] = field(default_factory=list)
    ended: int | None = None
    end: str | None = None
    """The status in MLflow once the command is over."""


def training_run(
    spec: RunSpec, facts: Mapping[str, Any], environment: Mapping[str, Any], tags: Mapping[str, str]
) -> TrainingRun:
    """The run of ``spec``.

    Args:
        facts: values of its row, as far as they are known.
        environment: code, versions and machine, as ``env_*``.
        tags: tags besides those that follow from its row.
    """
    created = facts.get("created")
    return TrainingRun(
        id=facts["run_id"],
        began=milliseconds(created) if created else now(),
        **description(spec, facts, environment, tags),
    )


def run_of_row(row: Row) -> TrainingRun:
    """The run that left ``row``, without its steps and logs.

    Raises :class:`~pdadmm_bench.core.errors.UserError` for a row whose settings cannot be read.
    """
    from pdadmm_bench.core.spec import recorded_spec, run_spec

    left_out = (*_SUITE_TAGS, "env_code")
    environment = {key: row[key] for key in row if key.startswith("env_") and key not in left_out}
    tags = {tag: str(row[key]) for key, tag in _SUITE_TAGS.items() if row.get(key) is not None}
    run = training_run(run_spec(recorded_spec(row["spec"])), row, environment, tags)
    run.row, run.tried = dict(row), True
    return run


def description(
    spec: RunSpec, facts: Mapping[str, Any], environment: Mapping[str, Any], tags: Mapping[str, str]
) -> dict[str, Any]:
    """Name, params, tags, dataset and texts of a run; for the arguments see :func:`training_run`.

    A setting is a param if it is not at its default, or is one of :data:`_ALWAYS`; a hyperparameter, if it was set. So
    a comparison of runs begins with what somebody chose. All of them are in ``config.json``, and the hyperparameters
    in the tag of that name.
    """
    flat = spec.flat()
    chosen = flat.pop("set")
    defaults = type(spec)().flat()
    workers = facts.get("dist_workers") or spec.gpus
    placement = _PLACEMENT if workers > 1 else ()
    resolved = {key: facts[key] for key in facts if key.startswith("optimizer_") or key in (*_PLACEMENT, *_MACHINE)}
    params = {key: value for key, value in flat.items() if key in _ALWAYS or value != defaults[key]}
    params |= {key: value for key, value in resolved.items() if key in placement}
    params |= {f"optimizer_{key}": resolved.get(f"optimizer_{key}", value) for key, value in chosen.items()}
    hyperparameters = {
        key.removeprefix("optimizer_"): value
        for key, value in resolved.items()
        if key.startswith("optimizer_") and key not in _NO_HYPERPARAMETERS and value is not None
    }
    own = {
        "dataset": spec.data.dataset,
        "optimizer": spec.optimizer,
        "device": facts.get("dist_device", spec.device),
        "workers": str(workers),
        "hyperparameters": " ".join(f"{key}={value}" for key, value in hyperparameters.items()),
        COLOUR: colour_of(spec.optimizer),
    }
    return {
        "name": run_name(spec, workers, facts.get("dist_mesh")),
        "params": {key: str(value) for key, value in params.items() if value is not None},
        "tags": {**own, **code_tags(environment), **tags},
        "dataset": {key: facts[key] for key in facts if key.startswith("dataset_")},
        "texts": {
            "config.json": dump({**spec.model_dump(), "resolved": resolved}),
            "environment.json": dump(dict(environment)),
        },
    }


def code_tags(environment: Mapping[str, Any]) -> dict[str, str]:
    """Where the code comes from, under our names and under those that MLflow's UI shows as source and version."""
    values = {
        "commit": environment.get("env_commit"),
        "dirty": environment.get("env_dirty"),
        "mlflow.source.name": "pdadmm-bench",
        "mlflow.source.type": "LOCAL",
        "mlflow.source.git.commit": environment.get("env_commit"),
    }
    return {key: str(value) for key, value in values.items() if value is not None}


def parent_end(rows: Iterable[Row]) -> str:
    """The MLflow status of a parent run: the worst one among the ``rows`` of its children."""
    ends = {status_of(row).mlflow for row in rows}
    return next((end for end in ("KILLED", "FAILED") if end in ends), "FINISHED")


def ended(row: Row) -> int:
    """When the run of ``row`` ended, in milliseconds since 1970, by the sum of its clocks."""
    seconds = sum(row.get(key) or 0.0 for key in ("time_train_s", "time_evaluate_s", "time_log_s"))
    return milliseconds(row["created"]) + int(1000 * seconds)


def milliseconds(created: str) -> int:
    """``created`` of a row in milliseconds since 1970."""
    return int(datetime.fromisoformat(created).timestamp() * 1000)


def now() -> int:
    """Milliseconds since 1970."""
    return time.time_ns() // 1_000_000


def dump(value: Any) -> str:
    """``value`` as the text of a JSON artifact."""
    return json.dumps(value, indent=1, ensure_ascii=False, default=str) + "\n"
