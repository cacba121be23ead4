"""Sends records to one MLflow store. Every step can be repeated: what is there is completed, never doubled.

A run is found again by its tag ``record``, params and tags are the same however often they are sent, and MLflow keeps a
metric of the same key, step, time and value once. The last call ends the run; so a run that has ended is complete.
"""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from pdadmm_bench.core.rows import Row
from pdadmm_bench.tracking import store
from pdadmm_bench.tracking.record import Record, dump

History = Sequence[Mapping[str, float]]

#: Columns of a finished row that become metrics, for MLflow's comparison table and parallel coordinates.
SUMMARY = (
    "acc_test_final", "acc_test_at_best_val", "acc_val_best", "time_iteration_median_s", "time_train_s",
    "time_to_target_s", "memory_peak_bytes",
)  # fmt: skip

#: Tags of training runs that their parent lists.
COLLECTED = ("dataset", "optimizer", "device", "workers")
RECORD = "record"
PARENT = "mlflow.parentRunId"
NOTE = "mlflow.note.content"

# Limits of MLflow: a longer value would be cut without a word, a larger batch or a longer digest refused.
METRICS, _PARAMS, _VALUE, _TAG, _DIGEST = 1000, 100, 6000, 8000, 36


class Upload:
    """The way into the experiment ``experiment`` of the store at ``uri``; opens it when it is first needed.

    Methods raise whatever MLflow raises.
    """

    def __init__(self, uri: str, experiment: str):
        self.uri, self.experiment = uri, experiment
        self._collected: set[tuple[str, str, str]] = set()
        store.quiet()  # before anything of MLflow is imported

    @cached_property
    def client(self) -> Any:
        with store.alone(store.database(self.uri)):
            return store.client(self.uri)

    @cached_property
    def experiment_id(self) -> str:
        client, file = self.client, store.database(self.uri)
        with store.alone(file):
            return store.create_experiment(client, self.experiment, file)

    def find(self, name: str, *, deleted: bool = False) -> list[Any]:
        """The runs made for the record ``name``, the oldest first."""
        from mlflow.entities import ViewType

        view = ViewType.ALL if deleted else ViewType.ACTIVE_ONLY
        return list(
            self.client.search_runs(
                [self.experiment_id], f"tags.{RECORD} = '{name}'", view, order_by=["attributes.start_time ASC"]
            )
        )

    def get(self, run_id: str) -> Any | None:
        """The run ``run_id``, None if the store has none."""
        from mlflow.exceptions import MlflowException

        try:
            return self.client.get_run(run_id)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return None

    def open(self, record: Record) -> bool:
        """Create the run and describe it, as far as that is still to do; returns whether it was created now."""
        from mlflow.entities import Param

        created = False
        if record.run_id is None:
            found = self.find(record.id) if record.tried else []
            created = not found
            record.tried = True
            record.run_id = str(found[0].info.run_id) if found else self._create(record)
            for twin in found[1:]:  # an answer was lost, and MLflow's client asked again
                self.client.delete_run(twin.info.run_id)
        if record.described:
            return created
        params = [Param(key, fit(value, _VALUE)) for key, value in record.params.items()]
        for start in range(0, len(params), _PARAMS):
            self.client.log_batch(record.run_id, params=params[start : start + _PARAMS])
        if "dataset_sha256" in record.dataset:
            self.client.log_inputs(record.run_id, [_dataset(record.tags["dataset"], record.dataset)])
        if record.parent_run_id:
            self._collect(record.parent_run_id, record.tags)
        for name, text in record.texts.items():
            self.client.log_text(record.run_id, text, name)
        record.described = True
        return created

    def send_steps(self, record: Record) -> None:
        """Send the steps that have not arrived yet."""
        self.open(record)
        while record.sent < len(record.steps):
            metrics: list[Any] = []
            taken = 0
            for at, step in record.steps[record.sent :]:
                more = list(_metrics(at, step))
                if metrics and len(metrics) + len(more) > METRICS:
                    break
                metrics += more
                taken += 1
            self.client.log_batch(record.run_id, metrics=metrics)
            record.sent += taken

    def finish(self, record: Record, warn: Callable[[str], None]) -> None:
        """Send all that is left of a training run, and end it; its row learns its ids in MLflow."""
        from mlflow.entities import Metric, RunTag

        self.send_steps(record)
        row = record.row
        if row is not None:
            row |= {"mlflow_run_id": record.run_id, "mlflow_parent_run_id": record.parent_run_id}
        said = row or {"status": "interrupted" if record.end == "KILLED" else "error"}
        self.client.log_batch(
            record.run_id,
            metrics=[Metric(key, said[key], record.ended, 0) for key in SUMMARY if said.get(key) is not None],
            tags=[RunTag(key, fit(said[key], _TAG)) for key in ("status", "status_reason") if said.get(key)],
        )
        for name, text in {**({"row.json": dump(row)} if row else {}), **record.attachments}.items():
            self.client.log_text(record.run_id, text, name)
        if row is not None:
            self._figures(record, row, warn)
        self.client.set_terminated(record.run_id, record.end, record.ended)

    def summarise(self, record: Record, runs: Sequence[tuple[Row, History]], warn: Callable[[str], None]) -> None:
        """Send the summary of a parent's ``runs``; those with steps are drawn in one picture."""
        from pdadmm_bench.report.render import markdown_body
        from pdadmm_bench.report.tables.summary import summary_table

        rows = [row for row, _ in runs]
        if rows:
            table = markdown_body(summary_table(rows))
            self.client.log_text(record.run_id, dump(rows), "rows.json")
            self.client.log_text(record.run_id, table, "summary.md")
            self.client.set_tag(record.run_id, NOTE, as_note(table))
        drawn = [(row, history) for row, history in runs if history]
        if len(drawn) > 1:
            from pdadmm_bench.report.figures.convergence import comparison_picture
            from pdadmm_bench.report.figures.draw import figure

            self._figure(record, "comparison.png", lambda: figure(comparison_picture(drawn)), warn)

    def tag(self, run_id: str, tags: Mapping[str, str]) -> None:
        """Set ``tags`` of a run, cut to what MLflow takes."""
        from mlflow.entities import RunTag

        self.client.log_batch(run_id, tags=[RunTag(key, fit(value, _TAG)) for key, value in tags.items()])

    def _create(self, record: Record) -> str:
        tags = {**record.tags, RECORD: record.id}
        if record.parent_run_id:
            tags[PARENT] = record.parent_run_id
        tags = {key: fit(value, _TAG) for key, value in tags.items()}
        made = self.client.create_run(self.experiment_id, start_time=record.began, run_name=record.name, tags=tags)
        return str(made.info.run_id)

    def _collect(self, parent: str, tags: Mapping[str, str]) -> None:
        """Add a run's tags to its parent's, which list every value that occurs."""
        mine = {(parent, key, tags[key]) for key in COLLECTED}
        if mine <= self._collected:
            return
        there = self.client.get_run(parent).data.tags
        joined = {}
        for key in COLLECTED:
            values = {*filter(None, there.get(key, "").split(", ")), tags[key]}
            joined[key] = ", ".join(sorted(values))
        if any(there.get(key) != text for key, text in joined.items()):
            self.tag(parent, joined)
        self._collected |= mine

    def _figures(self, record: Record, row: Row, warn: Callable[[str], None]) -> None:
        if len(record.steps) > 2:  # the start and one iteration are no curve
            from pdadmm_bench.report.figures.convergence import run_picture
            from pdadmm_bench.report.figures.draw import figure

            self._figure(record, "convergence.png", lambda: figure(run_picture(record.history, row)), warn)
        if (row["dist_workers"] or 1) > 1 and row.get("dist_per_worker"):
            from pdadmm_bench.report.figures.workers import workers_figure

            self._figure(record, "workers.png", lambda: workers_figure(row), warn)

    def _figure(self, record: Record, name: str, draw: Callable[[], Any], warn: Callable[[str], None]) -> None:
        """A picture that cannot be drawn costs only the picture."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / name
            try:
                draw().savefig(path)
            except Exception as error:
                warn(f"{name} of {record.name} could not be drawn ({store.sentence(error)})")
            else:
                self.client.log_artifact(record.run_id, str(path))


def _metrics(at: int, step: Mapping[str, float]) -> Iterator[Any]:
    from mlflow.entities import Metric

    for key, value in sorted(step.items()):  # accuracy first: the UI begins with what came first
        if key != "iteration" and value is not None:
            # MLflow stores infinity as the largest double, which ruins the axis of every chart.
            yield Metric(key, value if math.isfinite(value) else math.nan, at, int(step["iteration"]))


def _dataset(name: str, facts: Mapping[str, Any]) -> Any:
    """The dataset as an MLflow input; its digest is the SHA-256 as far as MLflow has room, a tag holds all of it."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    sha256 = str(facts["dataset_sha256"])
    source = {"card": name, "version": facts.get("dataset_version"), "obtained_from": facts.get("dataset_source")}
    dataset = Dataset(name, sha256[:_DIGEST], "card", json.dumps(source), profile=json.dumps(dict(facts)))
    return DatasetInput(dataset, [InputTag("mlflow.data.context", "training"), InputTag("sha256", sha256)])


def as_note(markdown: str) -> str:
    """A run's description, in which MLflow would take the interval of ``[1, 2] (n=5)`` for a link."""
    return fit(markdown.replace("[", "\\[").replace("]", "\\]"), _TAG)


def fit(value: Any, limit: int) -> str:
    """``value`` as text within MLflow's limit; a cut is marked and names the artifacts that hold all of it."""
    text, mark = str(value), " … (cut; see config.json and row.json)"
    return text if len(text) <= limit else text[: limit - len(mark)] + mark
