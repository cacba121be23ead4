"""Our views of an experiment in MLflow's UI: columns, order and charts that answer the question of the suite.

MLflow keeps a shared view as a tag of the experiment, ``mlflow.sharedViewState.KEY``, and shows it at an address with
``viewStateShareKey=KEY``. Its value is JSON, either plain or as ``deflate;`` and the Base64 of zlib. The fields are
those of the UI's own state (``ExperimentPageSearchFacetsState`` and ``ExperimentPageUIState`` in its sources); a field
that it does not know is ignored, and one that is missing has its default.

Newer versions list a view in a menu where the value is an envelope of ``name``, ``createdAt`` and ``state``. Earlier
ones read the fields of the state itself. So the value has both, in no more than the 5000 characters of MLflow 3.10.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

TAG = "mlflow.sharedViewState."
#: The tag of an experiment with the metric that MLflow draws first.
PRIMARY = "mlflow.experiment.primaryMetric.name"
PROTOCOL_METRIC = "acc_test_at_best_val"
#: The metric of a step with the training seconds until then, warm start included. The UI's own relative time would
#: begin with the first value of a run.
SECONDS = "time_train_s"
EARLIER_SECONDS = ("train_seconds",)

#: Training runs have a parent. With this condition the UI lists them flat, and leaves their parents out.
TRAINING_RUNS = "tags.`mlflow.parentRunId` LIKE '%'"

#: The columns of the list in this order, with their widths in pixels.
COLUMNS = {
    "params.`optimizer`": 95, "params.`dataset`": 95, "params.`layers`": 70, "params.`hidden`": 70,
    "tags.`workers`": 80, f"metrics.`{PROTOCOL_METRIC}`": 165, "metrics.`time_iteration_median_s`": 185,
    "metrics.`time_to_near_best_s`": 165, "metrics.`time_to_target_s`": 140, "metrics.`memory_peak_bytes`": 160,
    "tags.`status`": 110,
}  # fmt: skip
_FACETS = {
    "searchFilter": TRAINING_RUNS,
    "orderByKey": f"metrics.`{PROTOCOL_METRIC}`",
    "orderByAsc": False,
    "startTime": "ALL",
    "lifecycleFilter": "Active",
    "modelVersionFilter": "All Runs",
    "datasetsFilter": [],
}


@dataclass(frozen=True)
class View:
    """A view, and the key under which the experiment keeps it."""

    key: str
    name: str
    by_optimizer: bool
    """Whether the runs of an optimizer on one dataset and depth are one line, their mean."""

    @property
    def tag(self) -> str:
        """The tag of the experiment that holds it."""
        return TAG + self.key

    def state(self, seconds: str = SECONDS) -> dict[str, Any]:
        """The state of the UI; ``seconds`` is the metric with the training seconds of a step."""
        keys = [{"mode": "param", "groupByData": name} for name in ("optimizer", "dataset", "layers")]
        group = {"aggregateFunction": "average", "groupByKeys": keys}
        return {
            **_FACETS,
            "selectedColumns": list(COLUMNS),
            "runsExpanded": {},
            "runsPinned": [],
            "runsHidden": [],
            "runsVisibilityMap": {},
            "runsHiddenMode": "SHOW_ALL",
            "viewMaximized": False,
            "runListHidden": False,
            "autoRefreshEnabled": True,
            "groupBy": group if self.by_optimizer else None,
            "groupsExpanded": {},
            "useGroupedValuesInCharts": True,
            "hideEmptyCharts": True,
            "isAccordionReordered": True,
            "globalLineChartConfig": {"xAxisKey": "step", "lineSmoothness": 0, "selectedXAxisMetricKey": ""},
            "compareRunSections": [
                _section("accuracy", "Validation accuracy"),
                _section("result", "Accuracy and time"),
                _section("objective", "Objective and residual"),
                _section("rest", "Model metrics", display=False),
            ],
            "compareRunCharts": [
                # MLflow's mean of curves takes each second apart, where one run has a value, so it would be a zigzag.
                _bars("accuracy", "time_to_near_best_s")
                if self.by_optimizer
                else _curve("accuracy", "acc_val", x=seconds),
                _curve("accuracy", "acc_val"),
                _bars("result", PROTOCOL_METRIC),
                _bars("result", "time_iteration_median_s"),
                _curve("objective", "objective", log=True),
                _curve("objective", "primal_residual", log=True),
            ],
        }

    def value(self, seconds: str = SECONDS) -> str:
        """The value of its tag."""
        state = self.state(seconds)
        newer = {**state, "columnOrder": list(COLUMNS), "columnWidths": dict(COLUMNS)}
        packed = "deflate;" + base64.b64encode(zlib.compress(json.dumps(newer).encode(), 9)).decode()
        return json.dumps({"name": self.name, "createdAt": 0, "state": packed, **state}, separators=(",", ":"))


RUNS = View("pdadmm-bench", "training runs", by_optimizer=False)
OPTIMIZERS = View("pdadmm-bench-optimizers", "mean over seeds", by_optimizer=True)
VIEWS = (RUNS, OPTIMIZERS)


def experiment_tags(metrics: Collection[str] = ()) -> dict[str, str]:
    """The tags of an experiment that hold our views.

    Args:
        metrics: those of a run in it, where there is one. Earlier versions had another name for the training seconds.
    """
    seconds = next((name for name in EARLIER_SECONDS if name in metrics), SECONDS)
    return {PRIMARY: PROTOCOL_METRIC, **{view.tag: view.value(seconds) for view in VIEWS}}


def page(experiment_id: str, view: View | None, charts: bool = False) -> str:
    """The address of an experiment below that of the UI; without a view, one with a filter for training runs."""
    facets = {name: _FACETS[name] for name in ("searchFilter", "orderByKey")}
    shown = {"viewStateShareKey": view.key} if view else facets
    query = {**shown, "compareRunsMode": "CHART" if charts else "TABLE", "workflowType": "machine_learning"}
    return f"/#/experiments/{experiment_id}/runs?{urlencode(query, quote_via=quote)}"


def _section(key: str, name: str, display: bool = True) -> dict[str, Any]:
    return {"uuid": key, "name": name, "display": display, "isReordered": True, "columns": 2, "cardHeight": 380}


def _bars(section: str, metric: str) -> dict[str, Any]:
    return {
        "type": "BAR", "uuid": f"{section}-{metric}", "metricSectionId": section, "metricKey": metric,
        "runsCountToCompare": 100,
    }  # fmt: skip


def _curve(section: str, metric: str, x: str | None = None, log: bool = False) -> dict[str, Any]:
    return {
        "type": "LINE", "uuid": f"{metric}-{x}", "metricSectionId": section, "metricKey": metric,
        "runsCountToCompare": 100, "xAxisKey": "metric" if x else "step", "selectedXAxisMetricKey": x or "",
        "useGlobalXaxisKey": False,
        "lineSmoothness": 0, "scaleType": "log" if log else "linear", "xAxisScaleType": "linear",
        "yAxisKey": "metric", "yAxisExpressions": [], "range": {},
    }  # fmt: skip
