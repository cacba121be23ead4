"""The parent run of an invocation and its child runs, written off the clock."""

from __future__ import annotations

import contextlib
import json
import math
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any

from pdadmm_bench.core.errors import TrackingError
from pdadmm_bench.core.rows import Row
from pdadmm_bench.track import store

if TYPE_CHECKING:
    from pdadmm_bench.core.spec import RunSpec

#: Columns of a finished row that become metrics, for MLflow's comparison table and parallel coordinates.
SUMMARY = (
    "acc_test_final", "acc_test_at_best_val", "acc_val_best", "time_iteration_median_s", "time_train_s",
    "time_to_target_s", "memory_peak_bytes",
)  # fmt: skip

#: How a row's status reads in MLflow, which knows three ends only; the tag ``status`` keeps the exact word.
ENDS = {"diverged": "FAILED", "oom": "FAILED", "error": "FAILED", "interrupted": "KILLED"}

_FLUSH_SECONDS, _RETRY_SECONDS = 5.0, 30.0
# Limits of MLflow: a longer value would be cut without a word, a larger batch or a longer digest refused.
_METRICS, _PARAMS, _VALUE, _TAG, _DIGEST = 1000, 100, 6000, 8000, 36


def _warn(message: str) -> None:
    print(f"warning: {message}", file=sys.stderr)


class Tracker:
    """The parent run of one invocation; open it in the parent process, before any worker starts.

    As a context manager it closes the parent and whatever child is still open: KILLED after Ctrl-C, FAILED after
    another exception, else by the rows that were finished.
    """

    def __init__(
        self, client: Any, uri: str, experiment_id: str, run_id: str, environment: Mapping[str, Any],
        warn: Callable[[str], None] = _warn,
    ):  # fmt: skip
        self.client, self.uri, self.experiment_id, self.run_id = client, uri, experiment_id, run_id
        self.environment = dict(environment)
        self.problem: str | None = None
        """The first thing that could not be written, if any."""
        self._warn = warn
        self._children: list[TrackedRun] = []
        self._tags: dict[str, set[str]] = {}
        self._closed = False

    @classmethod
    def open(
        cls, uri: str | None, experiment: str, name: str, config: Mapping[str, Any], environment: Mapping[str, Any],
        *, warn: Callable[[str], None] = _warn,
    ) -> Tracker:  # fmt: skip
        """Create store, experiment and parent run; raises :class:`TrackingError` when any of it cannot be written."""
        uri = store.uri_or_default(uri)
        store.check(uri)
        store.quiet()
        file = store.database(uri)
        try:
            with store.alone(file):
                client = store.client(uri)
                experiment_id = store.create_experiment(client, experiment, file)
                run = client.create_run(experiment_id, run_name=name, tags=_code_tags(environment))
            tracker = cls(client, uri, experiment_id, run.info.run_id, environment, warn)
            tracker._begin(config)
        except TrackingError:
            raise
        except Exception as error:
            raise store.unusable(uri, error) from error
        return tracker

    def _begin(self, config: Mapping[str, Any]) -> None:
        try:
            self.client.log_text(self.run_id, store.public(_dump(dict(config))), "config.json")
            self.client.log_text(self.run_id, _dump(self.environment), "environment.json")
        except BaseException:
            with contextlib.suppress(Exception):
                self.client.set_terminated(self.run_id, "FAILED")
            raise

    def observer(self) -> TrackedRun:
        """The observer of one training run, which becomes a child run when it starts."""
        child = TrackedRun(self)
        self._children.append(child)
        return child

    def attempt(self, doing: str, action: Callable[[], None]) -> bool:
        """Whether ``action`` succeeded; the first failure is warned about, none is raised."""
        try:
            action()
        except Exception as error:
            if self.problem is None:
                self.problem = (
                    f"{doing} in MLflow failed ({store.sentence(error)}); training goes on, result rows are kept"
                )
                self._warn(self.problem)
            return False
        return True

    def tag_parent(self, tags: Mapping[str, str]) -> None:
        """Add a child's tags to the parent's, which list every value that occurs."""
        from mlflow.entities import RunTag

        for key, value in tags.items():
            self._tags.setdefault(key, set()).add(value)
        joined = [RunTag(key, _fit(", ".join(sorted(self._tags[key])), _TAG)) for key in tags]
        self.client.log_batch(self.run_id, tags=joined)

    def close(self, status: str | None = None) -> None:
        """End the parent with an MLflow ``status`` (default: by the finished rows), open children with the same."""
        if self._closed:
            return
        self._closed = True
        status = status or self._end()
        # A store that refuses one child's end refuses the others': one time-out is enough.
        if all(child.settle(status) for child in self._children):
            self.attempt("writing the summary", self._summarise)
        self.attempt("ending the run", lambda: self.client.set_terminated(self.run_id, status))

    def _end(self) -> str:
        ends = {child.end for child in self._children}
        return next((end for end in ("KILLED", "FAILED") if end in ends), "FINISHED")

    def _summarise(self) -> None:
        from pdadmm_bench.report.summary import summary_markdown

        runs = [(child.row, child.history) for child in self._children if child.row is not None]
        rows = [row for row, _ in runs]
        table = summary_markdown(rows)
        self.client.log_text(self.run_id, _dump(rows), "rows.json")
        self.client.log_text(self.run_id, table, "summary.md")
        self.client.set_tag(self.run_id, "mlflow.note.content", _fit(table, _TAG))
        if len(runs) > 1:
            from pdadmm_bench.report.convergence import comparison_figure

            self.client.log_figure(self.run_id, comparison_figure(runs), "comparison.png")

    def __enter__(self) -> Tracker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.close("KILLED" if issubclass(kind, KeyboardInterrupt) else "FAILED")


class TrackedRun:
    """A child run: one training run as the runner's observer sees it. None of its methods raises for the store."""

    def __init__(self, tracker: Tracker):
        self.run_id: str | None = None
        self.row: Row | None = None
        self.history: list[dict[str, float]] = []
        self._tracker, self._client = tracker, tracker.client
        self._params: dict[str, Any] = {}
        self._tags: dict[str, str] = {}
        self._facts: dict[str, Any] = {}
        self._config: dict[str, Any] = {}
        self._buffer: list[Any] = []
        self._attachments: dict[str, str] = {}
        self._next_flush = 0.0
        self._described = self._settled = False

    @property
    def end(self) -> str | None:
        """The MLflow status of the finished row; None before there is one."""
        return None if self.row is None else ENDS.get(self.row["status"], "FINISHED")

    def started(self, spec: RunSpec, facts: Mapping[str, Any]) -> None:
        """Open the child run with its parameters, tags, dataset and configuration."""
        self._facts = dict(facts)
        settings = {key: value for key, value in spec.flat().items() if key != "set"}  # resolved in optimizer_*
        resolved = {key: value for key, value in facts.items() if key.startswith(("optimizer_", "dist_"))}
        self._config = {**spec.model_dump(), "resolved": resolved}
        twice = ("optimizer_name", "optimizer_preset")
        self._params = {key: value for key, value in (settings | resolved).items() if key not in twice}
        tags = {
            "dataset": spec.data.dataset,
            "optimizer": spec.optimizer,
            "device": facts.get("dist_device", spec.device),
            "workers": facts.get("dist_workers", spec.gpus),
        }
        self._tags = {key: str(value) for key, value in tags.items()}
        self._name = f"{spec.optimizer} {spec.data.dataset} seed {spec.seed}"
        self._tracker.attempt("creating a run", self._open)
        self._next_flush = time.monotonic() + _FLUSH_SECONDS

    def stepped(self, step: Mapping[str, float]) -> None:
        """Buffer the step; every few seconds the buffer is written."""
        from mlflow.entities import Metric

        now = time.time_ns() // 1_000_000
        iteration = int(step["iteration"])
        for key, value in step.items():
            if key != "iteration" and value is not None:
                # MLflow stores infinity as the largest double, which ruins the axis of every chart.
                self._buffer.append(Metric(key, value if math.isfinite(value) else math.nan, now, iteration))
        if time.monotonic() >= self._next_flush:
            written = self._tracker.attempt("writing metrics", self._flush)
            self._next_flush = time.monotonic() + (_FLUSH_SECONDS if written else _RETRY_SECONDS)

    def attach(self, name: str, text: str) -> None:
        """Keep ``text``, such as the log of a worker that failed, as the artifact ``name`` of the finished run."""
        self._attachments[name] = text

    def finished(self, row: Row, history: Sequence[Mapping[str, float]]) -> None:
        """Write what is left, the row and the plot, and end the run; ``row`` learns its MLflow ids."""
        self.row, self.history = row, [dict(step) for step in history]
        row["mlflow_parent_run_id"] = self._tracker.run_id
        self.settle("FINISHED")

    def settle(self, status: str) -> bool:
        """End the run by its row, or with ``status`` if it has none; False when the store refuses (try again later)."""
        if self._settled or not self._params:
            return True
        attempt = self._tracker.attempt
        if not attempt("writing metrics", lambda: self._complete(status)):
            return False
        if self.row is not None:
            attempt("writing artifacts", self._artifacts)
        end = self.end or status
        self._settled = attempt("ending a run", lambda: self._client.set_terminated(self.run_id, end))
        return self._settled

    def _open(self) -> None:
        """Create the run and describe it; does only what is still to do, so that it can be repeated."""
        from mlflow.entities import Param

        tracker = self._tracker
        if self.run_id is None:
            tags = {**self._tags, **_code_tags(tracker.environment), "mlflow.parentRunId": tracker.run_id}
            run = self._client.create_run(tracker.experiment_id, run_name=self._name, tags=tags)
            self.run_id = run.info.run_id
        if not self._described:
            params = [Param(key, _fit(value, _VALUE)) for key, value in self._params.items() if value is not None]
            for start in range(0, len(params), _PARAMS):
                self._client.log_batch(self.run_id, params=params[start : start + _PARAMS])
            if "dataset_sha256" in self._facts:
                self._client.log_inputs(self.run_id, [_dataset(self._tags["dataset"], self._facts)])
            tracker.tag_parent(self._tags)
            self._client.log_text(self.run_id, _dump(self._config), "config.json")
            self._client.log_text(self.run_id, _dump(tracker.environment), "environment.json")
            self._described = True

    def _flush(self) -> None:
        self._open()
        while self._buffer:
            self._client.log_batch(self.run_id, metrics=self._buffer[:_METRICS])
            del self._buffer[:_METRICS]

    def _complete(self, status: str) -> None:
        from mlflow.entities import Metric, RunTag

        self._flush()
        row = self.row or {"status": "interrupted" if status == "KILLED" else "error"}
        row["mlflow_run_id"] = self.run_id
        now = time.time_ns() // 1_000_000
        self._client.log_batch(
            self.run_id,
            metrics=[Metric(key, row[key], now, 0) for key in SUMMARY if row.get(key) is not None],
            tags=[RunTag(key, _fit(row[key], _TAG)) for key in ("status", "status_reason") if row.get(key) is not None],
        )

    def _artifacts(self) -> None:
        from pdadmm_bench.report.convergence import convergence_figure

        assert self.row is not None
        for name, text in {"row.json": _dump(self.row), **self._attachments}.items():
            self._client.log_text(self.run_id, text, name)
        if self.history:
            self._client.log_figure(self.run_id, convergence_figure(self.history, self.row), "convergence.png")
        if (self.row["dist_workers"] or 1) > 1 and self.row.get("dist_per_worker"):
            from pdadmm_bench.report.workers import workers_figure

            self._client.log_figure(self.run_id, workers_figure(self.row), "workers.png")


def _code_tags(environment: Mapping[str, Any]) -> dict[str, str]:
    """Where the code comes from, under our names and under those MLflow's UI shows as source and version."""
    values = {
        "commit": environment.get("env_commit"),
        "dirty": environment.get("env_dirty"),
        "mlflow.source.name": "pdadmm-bench",
        "mlflow.source.type": "LOCAL",
        "mlflow.source.git.commit": environment.get("env_commit"),
    }
    return {key: str(value) for key, value in values.items() if value is not None}


def _dataset(name: str, facts: Mapping[str, Any]) -> Any:
    """The dataset as an MLflow input; its digest is the SHA-256 as far as MLflow has room, a tag holds all of it."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    sha256 = str(facts["dataset_sha256"])
    source = {"card": name, "version": facts.get("dataset_version"), "obtained_from": facts.get("dataset_source")}
    profile = {key: value for key, value in facts.items() if key.startswith("dataset_")}
    dataset = Dataset(name, sha256[:_DIGEST], "card", json.dumps(source), profile=json.dumps(profile))
    return DatasetInput(dataset, [InputTag("mlflow.data.context", "training"), InputTag("sha256", sha256)])


def _fit(value: Any, limit: int) -> str:
    """``value`` as text within MLflow's limit; a cut is marked and names the artifacts that hold all of it."""
    text, mark = str(value), " … (cut; see config.json and row.json)"
    return text if len(text) <= limit else text[: limit - len(mark)] + mark


def _dump(value: Any) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False, default=str) + "\n"
