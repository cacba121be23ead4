"""Sends runs to one MLflow store. Every call can be repeated: it completes what is there and duplicates nothing.

A run is found again by its tag ``record``. Params and tags are the same however often they are sent. Metrics are not
sent for iterations that the store has. The last call ends the run; so a run that has ended is complete.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pdadmm_bench.core.history import History
from pdadmm_bench.core.rows import Row, status_of
from pdadmm_bench.tracking import store, summary
from pdadmm_bench.tracking.described import ParentRun, Run, TrainingRun, dump
from pdadmm_bench.tracking.values import (
    EVERY_STEP,
    MOST_METRICS,
    MOST_PARAMS,
    NOTE,
    PARAM_LENGTH,
    TAG_LENGTH,
    as_note,
    dataset_input,
    fit,
    metrics_of,
    series,
)  # fmt: skip
from pdadmm_bench.tracking.view import PROTOCOL_METRIC

if TYPE_CHECKING:
    from pdadmm_bench.report.standings import Leaders

#: Columns of a finished row that become metrics under the same names; the protocol's comes first.
SUMMARY = (
    PROTOCOL_METRIC, "acc_val_best", "acc_test_final", "time_iteration_median_s", "time_train_s", "time_warm_start_s",
    "time_to_near_best_s", "time_to_target_s", "memory_peak_bytes",
)  # fmt: skip
#: Those of them that are metrics of every step; the last step has the value of the row.
_OF_STEPS = (PROTOCOL_METRIC, "time_train_s")

#: Tags of training runs that their parent lists.
COLLECTED = ("dataset", "optimizer", "device", "workers")
RECORD = "record"
MOST_DRAWN = 50
"""Curves of runs in one picture."""
PARENT = "mlflow.parentRunId"


class Upload:
    """Sends to the experiment ``experiment`` of the store at ``uri``, which is opened when it is first needed.

    Methods raise whatever MLflow raises, and what :func:`~pdadmm_bench.tracking.store.check` raises.
    """

    def __init__(self, uri: str, experiment: str):
        self.uri, self.experiment = uri, experiment
        self._collected: set[tuple[str, str, str]] = set()
        store.quiet()  # before anything of MLflow is imported

    @cached_property
    def client(self) -> Any:
        store.check(self.uri)
        with store.alone(store.database(self.uri)):
            return store.client(self.uri)

    @cached_property
    def experiment_id(self) -> str:
        client, file = self.client, store.database(self.uri)
        with store.alone(file):
            return store.create_experiment(client, self.experiment, file)

    def find(self, name: str, *, deleted: bool = False) -> list[Any]:
        """The runs with the tag ``record`` = ``name``, the oldest first."""
        from mlflow.entities import ViewType

        view = ViewType.ALL if deleted else ViewType.ACTIVE_ONLY
        return list(
            self.client.search_runs(
                [self.experiment_id], f"tags.{RECORD} = '{name}'", view, order_by=["attributes.start_time ASC"]
            )
        )

    def open(self, run: Run) -> bool:
        """Create ``run`` and describe it, unless that is done; returns whether it was created now."""
        from mlflow.entities import Param

        created = False
        if run.run_id is None:
            found = self.find(run.id) if run.tried else []
            created = not found
            run.tried = True
            run.run_id = str(found[0].info.run_id) if found else self._create(run)
            if found:
                run.parent_run_id = found[0].data.tags.get(PARENT, run.parent_run_id)
            elif isinstance(run, TrainingRun):
                run.arrived = set()
            for twin in found[1:]:  # an answer was lost, and MLflow's client sent the request again
                self.client.delete_run(twin.info.run_id)
        if run.described:
            return created
        params = [Param(key, fit(value, PARAM_LENGTH)) for key, value in run.params.items()]
        for start in range(0, len(params), MOST_PARAMS):
            self.client.log_batch(run.run_id, params=params[start : start + MOST_PARAMS])
        if "dataset_sha256" in run.dataset:
            self.client.log_inputs(run.run_id, [dataset_input(run.tags["dataset"], run.dataset)])
        if run.parent_run_id:
            self._collect(run.parent_run_id, run.tags)
        for name, text in run.texts.items():
            self.client.log_text(run.run_id, text, name)
        run.described = True
        return created

    def send_steps(self, run: TrainingRun) -> None:
        """Send the metrics of the iterations that have not arrived yet."""
        self.open(run)
        if run.arrived is None:
            there = self.client.get_metric_history(run.run_id, EVERY_STEP) if run.steps else []
            run.arrived = {int(point.step) for point in there}
        arrived, run.arrived = run.arrived, None  # unknown until all that is sent now has arrived
        for iterations, metrics in _batches(run, arrived):
            self.client.log_batch(run.run_id, metrics=metrics)
            arrived |= iterations
        run.arrived = arrived

    def finish(self, run: TrainingRun, ended: int, warn: Callable[[str], None]) -> None:
        """Send all that is left of a run that has its row, and end it; the row gets its ids when all has arrived."""
        from mlflow.entities import Metric, RunTag

        assert run.row is not None
        self.send_steps(run)
        ids = {"mlflow_run_id": run.run_id, "mlflow_parent_run_id": run.parent_run_id}
        row = run.row | ids
        at = run.at(row.get("time_train_s") or 0.0)
        columns = [key for key in SUMMARY if row.get(key) is not None and not (run.steps and key in _OF_STEPS)]
        self.client.log_batch(
            run.run_id,
            metrics=[Metric(key, row[key], at, 0) for key in columns],
            tags=[RunTag(key, fit(row[key], TAG_LENGTH)) for key in ("status", "status_reason") if row.get(key)],
        )
        for name, text in {"row.json": dump(row), **run.logs}.items():
            self.client.log_text(run.run_id, text, name)
        drawn = self._figures(run, row, warn)
        self.client.set_tag(run.run_id, NOTE, summary.run_note(run, row, drawn))
        self.client.set_terminated(run.run_id, status_of(row).mlflow, ended)
        run.row.update(ids)

    def finish_parent(
        self, parent: ParentRun, runs: Sequence[tuple[Row, History]], warn: Callable[[str], None]
    ) -> None:
        """Send the summary of the parent's ``runs``, and end the parent.

        It has metrics of each line, verdicts, and the page of a report. Up to :data:`MOST_DRAWN` runs with steps are
        drawn in one picture.
        """
        rows = [row for row, _ in runs]
        if rows:
            from pdadmm_bench.report.standings import Leaders

            leaders = Leaders(rows)
            texts, note = summary.texts(rows, leaders)
            for name, text in texts.items():
                self.client.log_text(parent.run_id, text, name)
            self.client.log_text(parent.run_id, dump(rows), "rows.json")
            self.client.set_tag(parent.run_id, NOTE, as_note(note))
            metrics = summary.metrics(rows)
            for start in range(0, len(metrics), MOST_METRICS):
                self.client.log_batch(parent.run_id, metrics=metrics[start : start + MOST_METRICS])
            for run_id, speedup in summary.speedups(rows).items():
                self.client.log_metric(run_id, "speedup", speedup)
            if len(rows) > 1:
                histories = {row["run_id"]: history for row, history in runs if history}
                self._page(parent, rows, leaders, histories, warn)
        drawn = [(row, history) for row, history in runs if history]
        if 1 < len(drawn) <= MOST_DRAWN:
            from pdadmm_bench.report.figures.convergence import comparison_picture
            from pdadmm_bench.report.figures.draw import figure

            self._figure(parent, "comparison.png", lambda: figure(comparison_picture(drawn)), warn)
        self.client.set_terminated(parent.run_id, parent.end, parent.ended)

    def _page(
        self, parent: ParentRun, rows: Sequence[Row], leaders: Leaders, histories: Mapping[str, History],
        warn: Callable[[str], None],
    ) -> None:  # fmt: skip
        """Send the page of a report on ``rows``; one that cannot be made causes a warning."""
        try:
            text = summary.report_page(parent.name, rows, leaders, histories)
        except Exception as error:
            warn(f"report.html of {parent.name} could not be made ({store.sentence(error)})")
        else:
            self.client.log_text(parent.run_id, text, "report.html")

    def tag(self, run_id: str, tags: Mapping[str, str]) -> None:
        """Set ``tags`` of a run, cut to what MLflow takes."""
        from mlflow.entities import RunTag

        self.client.log_batch(run_id, tags=[RunTag(key, fit(value, TAG_LENGTH)) for key, value in tags.items()])

    def _create(self, run: Run) -> str:
        tags = {**run.tags, RECORD: run.id}
        if run.parent_run_id:
            tags[PARENT] = run.parent_run_id
        tags = {key: fit(value, TAG_LENGTH) for key, value in tags.items()}
        made = self.client.create_run(self.experiment_id, start_time=run.began, run_name=run.name, tags=tags)
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

    def _figures(self, run: TrainingRun, row: Row, warn: Callable[[str], None]) -> list[str]:
        """Draw and send the pictures of a run; returns the names of those that were sent."""
        sent = []
        if len(run.steps) > 2:  # the start and one iteration are no curve
            from pdadmm_bench.report.figures.convergence import run_picture
            from pdadmm_bench.report.figures.draw import figure

            if self._figure(run, "convergence.png", lambda: figure(run_picture(run.steps, row)), warn):
                sent.append("convergence.png")
        if (row["dist_workers"] or 1) > 1 and row.get("dist_per_worker"):
            from pdadmm_bench.report.figures.workers import workers_figure

            if self._figure(run, "workers.png", lambda: workers_figure(row), warn):
                sent.append("workers.png")
        return sent

    def _figure(self, run: Run, name: str, draw: Callable[[], Any], warn: Callable[[str], None]) -> bool:
        """Draw a picture and send it; one that cannot be drawn causes a warning. Returns whether it was sent."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / name
            try:
                draw().savefig(path)
            except Exception as error:
                warn(f"{name} of {run.name} could not be drawn ({store.sentence(error)})")
                return False
            self.client.log_artifact(run.run_id, str(path))
            return True


def find_run(client: Any, run_id: str) -> Any | None:
    """The run ``run_id``, None if the store has none."""
    from mlflow.exceptions import MlflowException

    try:
        return client.get_run(run_id)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return None


def _batches(run: TrainingRun, arrived: Collection[int]) -> Iterator[tuple[set[int], list[Any]]]:
    """Batches of the metrics that have not ``arrived``, as large as MLflow takes; no iteration is split."""
    iterations: set[int] = set()
    metrics: list[Any] = []
    for iteration, seconds, values in series(run.steps):
        if iteration in arrived:
            continue
        more = metrics_of(values, iteration, run.at(seconds))
        if metrics and len(metrics) + len(more) > MOST_METRICS:
            yield iterations, metrics
            iterations, metrics = set(), []
        iterations.add(iteration)
        metrics += more
    if metrics:
        yield iterations, metrics
