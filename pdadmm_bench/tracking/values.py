"""Values in the form and the size that MLflow takes."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pdadmm_bench.core.history import NAMES
from pdadmm_bench.tracking.view import PROTOCOL_METRIC, SECONDS

#: What MLflow takes in one call. It refuses more.
MOST_METRICS, MOST_PARAMS = 1000, 100
#: What it takes of one value, in characters. It silently cuts a longer param or tag, and refuses a longer digest.
PARAM_LENGTH, TAG_LENGTH, _DIGEST_LENGTH = 6000, 8000, 36

#: The tag that MLflow's UI shows as the description of a run.
NOTE = "mlflow.note.content"
#: A metric that every step has; it shows which iterations the store has.
EVERY_STEP = SECONDS


def series(steps: Iterable[Mapping[str, float]]) -> Iterator[tuple[int, float, dict[str, float]]]:
    """Iteration, training seconds and metrics of every step.

    The test accuracy of a step is not a metric, since no result may be chosen by it. In its place is
    ``acc_test_at_best_val``: what the protocol would report if training ended here.
    """
    best, chosen = -math.inf, None
    for step in steps:
        if step["iteration"] > 0 and step.get("acc_val", -math.inf) > best:
            best, chosen = step["acc_val"], step.get("acc_test")
        metrics = {
            NAMES.get(key, key): value
            for key, value in step.items()
            if key not in ("iteration", "acc_test") and value is not None
        }
        if chosen is not None:
            metrics[PROTOCOL_METRIC] = chosen
        yield int(step["iteration"]), step.get("train_seconds") or 0.0, metrics


def metrics_of(values: Mapping[str, float], iteration: int, at: int) -> list[Any]:
    """The metrics of one iteration at the time ``at``: accuracy first, since the UI shows them in order of arrival."""
    from mlflow.entities import Metric

    # MLflow stores infinity as the largest double, which ruins the axis of every chart.
    return [
        Metric(key, value if math.isfinite(value) else math.nan, at, iteration) for key, value in sorted(values.items())
    ]


def dataset_input(name: str, facts: Mapping[str, Any]) -> Any:
    """The dataset as an MLflow input. Its digest is the beginning of the SHA-256; a tag holds the whole of it."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    sha256 = str(facts["dataset_sha256"])
    source = {"card": name, "version": facts.get("dataset_version"), "obtained_from": facts.get("dataset_source")}
    dataset = Dataset(name, sha256[:_DIGEST_LENGTH], "card", json.dumps(source), profile=json.dumps(dict(facts)))
    return DatasetInput(dataset, [InputTag("mlflow.data.context", "training"), InputTag("sha256", sha256)])


def name_of(text: str) -> str:
    """``text`` as the name of a metric or param that MLflow accepts."""
    return re.sub(r"[^\w\-./: ]", "_", text.replace("×", "x"))


def as_note(markdown: str) -> str:
    """A run's description, in which MLflow would take the interval of ``[1, 2] (n=5)`` for a link."""
    return fit(markdown.replace("[", "\\[").replace("]", "\\]"), TAG_LENGTH)


def fit(value: Any, limit: int) -> str:
    """``value`` as text within MLflow's limit; a cut is marked and names the artifacts that hold all of it."""
    text, mark = str(value), " … (cut; see config.json and row.json)"
    return text if len(text) <= limit else text[: limit - len(mark)] + mark
