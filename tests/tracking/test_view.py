"""The views of an experiment: what MLflow keeps of them, and which pages ``ui`` opens."""

from __future__ import annotations

import base64
import json
import shutil
import zlib
from pathlib import Path

import pytest

from pdadmm_bench.cli.verbs import ui as verb
from pdadmm_bench.core.errors import UserError
from pdadmm_bench.tracking import store, ui, view

MOST = 5000
"""Characters of a tag of an experiment in MLflow 3.10; later versions take more."""


@pytest.fixture
def uri(migrated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    shutil.copy(migrated, tmp_path / "mlflow.db")
    monkeypatch.chdir(tmp_path)
    return f"sqlite:///{tmp_path}/mlflow.db"


def older_experiment(uri: str, **metrics: float) -> str:
    """An experiment without our views, and with one training run."""
    with store.existing(uri) as client:
        assert client is not None
        made = str(client.create_experiment("older"))
        run = client.create_run(made, tags={"mlflow.parentRunId": "0" * 32})
        for name, value in metrics.items():
            client.log_metric(run.info.run_id, name, value)
    return made


@pytest.mark.parametrize("shown", view.VIEWS)
def test_a_view_is_read_by_older_and_newer_versions(shown: view.View) -> None:
    """3.10 reads the state itself, newer ones the packed state of a named view, with its columns in order."""
    value = shown.value()
    assert len(value) <= MOST
    plain = json.loads(value)
    packed = json.loads(zlib.decompress(base64.b64decode(plain["state"].removeprefix("deflate;"))))
    assert plain["searchFilter"] == packed["searchFilter"] == view.TRAINING_RUNS
    assert packed["columnOrder"] == plain["selectedColumns"] == list(view.COLUMNS)
    sections = {section["uuid"] for section in plain["compareRunSections"]}
    assert {chart["metricSectionId"] for chart in plain["compareRunCharts"]} < sections
    assert len({chart["uuid"] for chart in plain["compareRunCharts"]}) == len(plain["compareRunCharts"])


def test_a_new_experiment_has_the_views(uri: str) -> None:
    with store.existing(uri) as client:
        assert client is not None
        made = store.create_experiment(client, "bench", Path("mlflow.db"))
        tags = client.get_experiment(made).tags
        client.create_run(made)
    assert tags["mlflow.experimentKind"] == "custom_model_development"
    assert tags["mlflow.experiment.primaryMetric.name"] == "acc_test_at_best_val"
    found = ui.pages(uri)
    assert found is not None
    assert found.runs == (
        f"/#/experiments/{made}/runs?viewStateShareKey=pdadmm-bench&compareRunsMode=TABLE&workflowType=machine_learning"
    )
    assert found.charts == found.runs.replace("TABLE", "CHART")


def test_an_older_experiment_gets_the_views_when_it_is_asked_for(uri: str) -> None:
    """Until then its page has a filter for training runs. Its seconds have the name of its time."""
    made = older_experiment(uri, train_seconds=1.0)
    found = ui.pages(uri)
    assert found is not None
    assert found.charts is None
    assert "searchFilter=tags.%60mlflow.parentRunId%60%20LIKE" in found.runs
    assert ui.pages(uri, "older", make=True) == ui.pages(uri)
    with store.existing(uri) as client:
        assert client is not None
        state = json.loads(client.get_experiment(made).tags[view.RUNS.tag])
    assert state["compareRunCharts"][0]["selectedXAxisMetricKey"] == "train_seconds"


def test_an_unknown_experiment_is_refused(uri: str) -> None:
    older_experiment(uri)
    with pytest.raises(UserError, match=r"experiment 'alder'.*older"):
        ui.pages(uri, "alder")


@pytest.mark.parametrize("asked", [True, False])
def test_ui_opens_the_browser_unless_told_not_to(
    uri: str, asked: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """No server is started here, and no window."""
    made = older_experiment(uri)
    opened: list[str] = []
    monkeypatch.setenv("BROWSER", "a window")
    monkeypatch.setattr(ui.webbrowser, "open", lambda address: opened.append(address) or True)
    monkeypatch.setattr(ui, "serve", lambda uri, host, port, when_ready: when_ready())
    verb.ui(uri, view=True, open_browser=asked, port=5999)
    page = f"http://127.0.0.1:5999/#/experiments/{made}/runs?viewStateShareKey=pdadmm-bench"
    assert [address.startswith(page) for address in opened] == [True] * asked
    assert page in capsys.readouterr().err
