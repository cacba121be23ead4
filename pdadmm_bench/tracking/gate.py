"""The verdicts of one regression gate as an MLflow run."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pdadmm_bench.tracking.tracker import Tracker
from pdadmm_bench.tracking.values import MOST_METRICS, MOST_PARAMS, NOTE, as_note, name_of

NUMBERS = ("effect", "low", "high", "threshold")


class GateTracker(Tracker):
    """A run without children: one metric for each number of a check, the rows, and the summary as its description."""

    rows: Sequence[Mapping[str, Any]] = ()
    summary: str = ""
    exit_code: int | None = None

    def _finish(self) -> None:
        from mlflow.entities import Metric, Param, RunTag

        found = {
            name_of(f"{row['benchmark']}/{row['check']}/{number}"): row[number]
            for row in self.rows
            for number in NUMBERS
            if row.get(number) is not None
        }
        metrics = [Metric(name, value, 0, 0) for name, value in found.items()]
        for start in range(0, len(metrics), MOST_METRICS):
            self.client.log_batch(self.run_id, metrics=metrics[start : start + MOST_METRICS])
        verdicts = {str(row["benchmark"]): str(row["verdict"]) for row in self.rows}
        params = [Param(name_of(f"verdict/{name}"), verdict) for name, verdict in verdicts.items()]
        for start in range(0, len(params), MOST_PARAMS):
            self.client.log_batch(self.run_id, params=params[start : start + MOST_PARAMS])
        tags = [RunTag("regress_exit_code", str(self.exit_code)), RunTag(NOTE, as_note(self.summary))]
        self.client.log_batch(self.run_id, tags=tags)
        self.client.log_text(self.run_id, json.dumps(list(self.rows), indent=1, ensure_ascii=False), "rows.json")
        self.client.log_text(self.run_id, self.summary, "summary.md")
        self.client.set_terminated(self.run_id, self.parent.end, self.parent.ended)
