"""What one MLflow run is to hold: told by the run while it goes on, or reconstructed from its row."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from pdadmm_bench.core.rows import Row, status_of

if TYPE_CHECKING:
    from pdadmm_bench.core.spec import RunSpec


def parent_end(rows: Iterable[Row]) -> str:
    """How a parent run ends in MLflow by its ``rows``: as the worst of them."""
    ends = {status_of(row).mlflow for row in rows}
    return next((end for end in ("KILLED", "FAILED") if end in ends), "FINISHED")


#: What a row knows about the placement of its run before training.
_PLACEMENT_ALONE = ("dist_workers", "dist_device", "dist_threads")
_PLACEMENT = (*_PLACEMENT_ALONE, "dist_partition", "dist_wire")

#: Columns that rows of suites have, and the tags that their runs have of them.
_SUITE_TAGS = {
    "env_suite": "suite", "suite_version": "suite_version", "env_run_key": "run_key", "env_concurrency": "concurrency",
}  # fmt: skip
_OF_SUITES = (*_SUITE_TAGS, "env_code")


@dataclass(kw_only=True)
class Record:
    """A training run, or the parent of some, and how much of it the store is known to have."""

    id: str
    """A name of our own, in MLflow the tag ``record``: of a training run the ``run_id`` of its row."""
    store: str
    experiment: str
    name: str
    parent: str | None = None
    """The id of the parent's record; None of a parent."""
    parent_run_id: str | None = None
    began: int
    """Milliseconds since 1970, as ``ended`` and the times of the steps."""
    ended: int | None = None
    end: str | None = None
    """The status in MLflow once the run is over."""
    params: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    dataset: dict[str, Any] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    """Text artifacts by name that describe the run from its beginning."""
    attachments: dict[str, str] = field(default_factory=dict)
    """Those that came with its end."""
    steps: list[tuple[int, dict[str, float]]] = field(default_factory=list)
    row: Row | None = None
    rows: list[Row] = field(default_factory=list)
    """Of a parent: those of its runs."""
    files: list[str] = field(default_factory=list)
    """Files that the row is kept in, relative to the folder of the records; they are told the ids in MLflow."""
    run_id: str | None = None
    tried: bool = False
    """Whether the run may be in the store although ``run_id`` is unknown, since an answer was lost."""
    described: bool = False
    sent: int = 0
    """Number of ``steps`` that arrived."""

    @property
    def history(self) -> list[dict[str, float]]:
        return [step for _, step in self.steps]

    def over(self, row: Row | None, end: str, ended: int | None = None) -> None:
        """The run has come to its end, with ``row`` if it has one."""
        self.row, self.end, self.ended = row, end, ended or now()


def now() -> int:
    """Milliseconds since 1970."""
    return time.time_ns() // 1_000_000


def describe(spec: RunSpec, facts: Mapping[str, Any], environment: Mapping[str, Any]) -> dict[str, Any]:
    """Name, params, tags, dataset and configuration of a run, as fields of its record.

    Args:
        facts: values of its row that are known before training.
    """
    settings = {key: value for key, value in spec.flat().items() if key != "set"}  # resolved in optimizer_*
    workers = facts.get("dist_workers") or spec.gpus
    placement = _PLACEMENT if workers > 1 else _PLACEMENT_ALONE
    resolved = {key: facts[key] for key in facts if key.startswith("optimizer_") or key in placement}
    twice = ("optimizer_name", "optimizer_preset")
    tags = {
        "dataset": spec.data.dataset,
        "optimizer": spec.optimizer,
        "device": facts.get("dist_device", spec.device),
        "workers": workers,
    }
    return {
        "name": f"{spec.optimizer} {spec.data.dataset} seed {spec.seed}",
        "params": {k: str(v) for k, v in (settings | resolved).items() if v is not None and k not in twice},
        "tags": {**{key: str(value) for key, value in tags.items()}, **code_tags(environment)},
        "dataset": {key: facts[key] for key in facts if key.startswith("dataset_")},
        "texts": {
            "config.json": dump({**spec.model_dump(), "resolved": resolved}),
            "environment.json": dump(dict(environment)),
        },
    }


def record_of(row: Row, store: str, experiment: str, parent: str) -> Record:
    """The record of the run that left ``row``: all but its steps, and its end as far as its clocks tell.

    Raises :class:`~pdadmm_bench.core.errors.UserError` for a row whose settings cannot be read.
    """
    from pdadmm_bench.core.spec import recorded_spec, run_spec

    spec = run_spec(recorded_spec(row["spec"]))
    environment = {key: row[key] for key in row if key.startswith("env_") and key not in _OF_SUITES}
    began = int(datetime.fromisoformat(row["created"]).timestamp() * 1000)
    measured = sum(row.get(key) or 0.0 for key in ("time_train_s", "time_evaluate_s", "time_log_s"))
    record = Record(
        id=row["run_id"], store=store, experiment=experiment, parent=parent, began=began, tried=True,
        **describe(spec, row, environment),
    )  # fmt: skip
    record.tags |= {tag: str(row[key]) for key, tag in _SUITE_TAGS.items() if row.get(key) is not None}
    record.over(dict(row), status_of(row).mlflow, began + int(1000 * measured))
    return record


def code_tags(environment: Mapping[str, Any]) -> dict[str, str]:
    """Where the code comes from, under our names and under those MLflow's UI shows as source and version."""
    values = {
        "commit": environment.get("env_commit"),
        "dirty": environment.get("env_dirty"),
        "mlflow.source.name": "pdadmm-bench",
        "mlflow.source.type": "LOCAL",
        "mlflow.source.git.commit": environment.get("env_commit"),
    }
    return {key: str(value) for key, value in values.items() if value is not None}


def dump(value: Any) -> str:
    """``value`` as the text of a JSON artifact."""
    return json.dumps(value, indent=1, ensure_ascii=False, default=str) + "\n"
