"""``pdadmm-bench report`` on what the other verbs wrote: an MLflow experiment, rows, a suite's folder."""

from __future__ import annotations

import csv
import json
import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
from shell import DATA, Cli, rows_of

from pdadmm_bench.core import history

pytestmark = pytest.mark.slow  # every test looks at runs that were made for it

MISSING = [program for program in ("chromium", "chromedriver") if shutil.which(program) is None]
SMALL = ("run", *DATA, "--layers", "2", "--hidden", "8", "--iterations", "4", "--quiet", "--seeds", "2")
BOTH = ("--optimizer", "adam", "--optimizer", "pdadmm", "--target", "0.2")


@pytest.fixture(scope="module")
def once(prepared: Callable[..., Path]) -> Path:
    """Four runs with their store, made once."""
    return prepared(*SMALL, *BOTH, "--json", "rows.json")


@pytest.fixture
def measured(once: Path, folder: Path) -> Path:
    """A working folder with their rows and store."""
    for name in ("rows.json", "mlflow.db"):
        shutil.copy(once / name, folder / name)
    return folder


def table_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def lightness(colour: str) -> float:
    """From 0 (black) to 1 (white), of ``rgb(255, 255, 255)``."""
    return sum(map(int, re.findall(r"\d+", colour)[:3])) / (3 * 255)


def test_every_format_of_an_experiment_is_written_and_logged_to_its_parent(cli: Cli, measured: Path) -> None:
    answer = cli("report", "pdadmm-bench", "--format", "all", "--out", "out")
    assert answer.code == 0, answer.err
    assert "Test accuracy at the best validation accuracy" in answer.out
    names = {path.name for path in (measured / "out").iterdir()}
    assert names >= {
        "report.md",
        "report.html",
        "accuracy.csv",
        "accuracy.tex",
        "iteration-time.csv",
        "time-to-target.tex",
    }
    assert any(name.startswith("convergence-") and name.endswith(".png") for name in names)
    assert any(name.startswith("convergence-") and name.endswith(".svg") for name in names)
    assert "report.html (" in answer.out
    from mlflow import MlflowClient

    parent = rows_of(measured / "rows.json")[0]["mlflow_parent_run_id"]
    client = MlflowClient(f"sqlite:///{measured / 'mlflow.db'}")
    logged = {Path(artifact.path).name for artifact in client.list_artifacts(parent, "report")}
    assert logged == names


def test_curves_come_from_beside_the_rows_without_any_store(
    cli: Cli, measured: Path, once: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_store = cli("report", "rows.json", "--format", "svg", "--out", "with")
    assert "no convergence curves" not in with_store.out
    shutil.copytree(once / "rows.steps", measured / "rows.steps")
    (measured / "mlflow.db").unlink()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    without = cli("report", "rows.json", "--format", "svg", "--out", "without")
    assert (without.code, without.err) == (0, "")
    assert "no convergence curves" not in without.out
    assert "best of any method" not in with_store.out + without.out
    (table,) = (line for line in cli("report", "rows.json").out.splitlines() if "validation accuracy of any" in line)
    assert table.startswith("Time to 99 % of the best")
    (name,) = (path.name for path in (measured / "with").glob("convergence-*"))
    assert "pdadmm" in (measured / "without" / name).read_text()


def test_steps_are_kept_of_a_run_that_fails_and_those_of_replaced_rows_go(cli: Cli, with_store: Path) -> None:
    assert cli(*SMALL, "--optimizer", "adam", "--json", "rows.json").code == 0
    broken = cli(*SMALL, "--optimizer", "sgd", "--set", "lr=1e30", "--json", "rows.json")
    assert broken.code == 1
    rows = rows_of(with_store / "rows.json")
    assert [row["status"] for row in rows] == ["diverged"] * 2
    assert {path.name for path in (with_store / "rows.steps").iterdir()} == {f"{row['run_id']}.json.gz" for row in rows}
    steps = history.read(with_store / "rows.steps" / f"{rows[0]['run_id']}.json.gz", rows[0]["run_id"])
    assert len(steps) == rows[0]["iterations"] + 1
    assert steps[-1]["train_seconds"] == rows[0]["time_train_s"]


def test_a_damaged_history_is_told_with_its_path(cli: Cli, measured: Path, once: Path) -> None:
    shutil.copytree(once / "rows.steps", measured / "rows.steps")
    (measured / "mlflow.db").unlink()
    first, second, *_ = sorted((measured / "rows.steps").iterdir())
    first.write_bytes(first.read_bytes()[:-20])
    second.write_text("something else")
    answer = cli("report", "rows.json", "--format", "png", "--out", "out")
    assert answer.code == 0, answer.err
    assert f"rows.steps/{first.name} is not the history of a run" in answer.out
    assert f"rows.steps/{second.name} is not the history of a run" in answer.out
    assert "no convergence curves of 2 of 4 runs" in answer.out


def test_rows_without_their_store_say_that_curves_are_missing(cli: Cli, measured: Path) -> None:
    (measured / "mlflow.db").unlink()
    answer = cli("report", "rows.json", "--format", "png", "--format", "csv", "--out", "out")
    assert answer.code == 0, answer.err
    assert "no convergence curves of 4 of 4 runs" in answer.out
    assert "no time to the best of any method: the steps of the runs are not there" in answer.out
    assert not (measured / "mlflow.db").exists()
    assert (measured / "out" / "accuracy.csv").is_file()


def test_published_numbers_stand_beside_ours_with_their_source(cli: Cli, measured: Path) -> None:
    rows = rows_of(measured / "rows.json")
    for row in rows:
        row["dataset_name"] = "cora"
    (measured / "cora.json").write_text(json.dumps(rows))
    plain = cli("report", "cora.json")
    beside = cli("report", "cora.json", "--published", "--format", "terminal,csv", "--out", "out")
    assert "Published" not in plain.out
    assert "Published test accuracy beside ours" in beside.out and "arXiv 2105.09837" in beside.out
    assert "initial weights" not in plain.out and "warm starts" in beside.out
    lines = table_of(measured / "out" / "published-accuracy.csv")
    table = {(line["optimizer"], line["published: layers × hidden"]): line for line in lines}
    ours = {line["optimizer"]: line for line in table_of(measured / "out" / "accuracy.csv")}
    assert table["pdadmm", "10 × 100"]["published (fraction)"] == "0.784"
    assert table["pdadmm", "10 × 100"]["ours (fraction)"] == ours["pdadmm"]["cora (fraction)"]
    assert table["sgd", "10 × 100"]["ours (fraction)"] == ""  # theirs is shown where we have none


def test_a_row_in_two_sources_counts_once(cli: Cli, measured: Path) -> None:
    alone = cli("report", "rows.json")
    twice = cli("report", "rows.json", "rows.json")
    assert "4 rows were in several sources and count once" in twice.out
    assert twice.out.startswith(alone.out.split("no speedups")[0])


def test_a_results_folder_without_rows_json_gives_its_single_rows(cli: Cli, measured: Path) -> None:
    folder = measured / "results" / "mine"
    (folder / "runs").mkdir(parents=True)
    for place, row in enumerate(rows_of(measured / "rows.json")):
        (folder / "runs" / f"{place}.json").write_text(json.dumps(row))
    (folder / "runs" / "half.json").write_text('{"status": "ok",')
    (folder / "runs" / "old.json").write_text('{"status": "ok", "schema_version": 0}')
    answer = cli("report", "mine")
    assert answer.code == 0, answer.err
    assert "all 4 rows" in answer.out
    assert "left out: results/mine/runs/half.json is not a result row: it breaks off in line 1" in answer.out
    assert "left out: results/mine/runs/old.json is a row of schema 0, this program reads schema 1" in answer.out
    assert "adam" in answer.out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("rows.json", "--format", "pngs"), "unknown format 'pngs': did you mean png"),
        (("none.json",), "no such rows file: none.json"),
        (("none.json", "--format", "csv"), "no such rows file: none.json"),
        (("empty",), "empty is no results folder of a suite"),
        (("rows.json", "--reference", "adm"), "unknown reference optimizer 'adm': did you mean adam"),
        (("rows.json", "--format", "csv", "--out", "rows.json"), "rows.json is not a folder"),
        (("predicted.json",), "a report has measured numbers only"),
        (("half.json",), "half.json is not a rows file"),
    ],
)
def test_bad_input_gets_a_sentence(cli: Cli, measured: Path, arguments: tuple[str, ...], words: str) -> None:
    (measured / "empty").mkdir()
    (measured / "predicted.json").write_text('[{"predicted": true, "efficiency": 1.0}]')
    (measured / "half.json").write_text('[{"schema_version": 1,')
    assert words in cli("report", *arguments).error
    assert not Path("report").exists()


@pytest.mark.skipif(bool(MISSING), reason=f"needs {' and '.join(MISSING)} (Debian: chromium, chromium-driver)")
def test_the_page_works_in_a_browser(cli: Cli, measured: Path, tool: Callable[[str], ModuleType]) -> None:
    """Sorting by a click, a label under the pointer, a search, a dark page, a quiet console, and nothing asked for but
    the file itself.
    """
    screenshots = tool("screenshots")
    scale = [
        {"dataset_name": "generated", "optimizer_name": "pdadmm", "schedule": None, "model_layers": 4,
         "model_hidden": 64, "n": 5, "speedup_low": speedup, "speedup_high": speedup, "env_cpu": "x", "env_cores": 2,
         "dist_device": "cpu", "time_iteration_median_s": 1.0, "dist_workers": workers, "speedup": speedup,
         "efficiency": speedup / workers}
        for workers, speedup in ((1, 1.0), (2, 1.75))
    ]  # fmt: skip
    (measured / "scale.json").write_text(json.dumps(scale))
    answer = cli("report", "pdadmm-bench", "scale.json", "--format", "html", "--out", "out")
    assert answer.code == 0, answer.err
    address = (measured / "out" / "report.html").as_uri()
    with screenshots.browser(1300, 1000) as window:
        window.requests()  # those of the empty window
        window.go(address)
        window.wait_for("Test accuracy", "Speedup by workers", "Every run")
        window.run("for (const section of document.querySelectorAll('details')) section.open = true")
        window.wait_for("validation accuracy", "speedup by workers")
        column = "[...document.querySelectorAll('#accuracy tbody tr')].map(row => row.cells[0].textContent)"
        assert sorted(window.run(f"return {column}")) == ["adam", "pdadmm"]
        for expected in (["adam", "pdadmm"], ["pdadmm", "adam"]):
            window.run("document.querySelectorAll('#accuracy th button')[0].click()")
            assert window.run(f"return {column}") == expected
        window.run("document.querySelector('#speedup').scrollIntoView()")
        assert "workers 2: 1.75 (n=5, 1.75 to 1.75)" in screenshots.hover(window, "#speedup")
        plots = "[...document.querySelectorAll('[data-plot]')]"
        drawn = f"return {plots}.map(plot => plot.querySelectorAll('.scatterlayer .trace').length)"
        assert all(count >= 1 for count in window.run(drawn)) and len(window.run(drawn)) == 7
        window.run("document.querySelector('[data-choice=adam]').click()")
        hidden = "[...document.querySelectorAll('#accuracy tbody tr')].filter(row => row.hidden)"
        assert window.run(f"return {hidden}.map(row => row.dataset.optimizer)") == ["adam"]
        answer = "document.querySelector('#answer [data-plot]').querySelectorAll('.textpoint, .textpoint text')"
        assert window.run(f"return new Set([...{answer}].map(each => each.textContent)).size") == 1
        window.run("document.querySelector('[data-choice=adam]').click()")
        window.run("document.querySelector('#runs').closest('details').querySelector('input[type=search]').focus()")
        window.call("POST", "/goog/cdp/execute", cmd="Input.insertText", params={"text": "PDADMM"})
        shown = "[...document.querySelectorAll('#runs tbody tr')].filter(row => !row.hidden)"
        assert window.run(f"return {shown}.map(row => row.dataset.optimizer)") == ["pdadmm"] * 2
        ground = "return getComputedStyle(document.body).backgroundColor"
        light = window.run(ground)
        dark = {"features": [{"name": "prefers-color-scheme", "value": "dark"}]}
        window.call("POST", "/goog/cdp/execute", cmd="Emulation.setEmulatedMedia", params=dark)
        assert lightness(window.run(ground)) < 0.3 < 0.7 < lightness(light)
        assert window.complaints() == []
        assert window.requests() == [address]
        window.run("console.error('heard'); fetch('http://127.0.0.1:9/x').catch(() => 0)")
        assert any("heard" in line for line in window.complaints())
        phone = {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True}
        window.call("POST", "/goog/cdp/execute", cmd="Emulation.setDeviceMetricsOverride", params=phone)
        for _ in range(300):  # plots are drawn anew some time after the window has another width
            if (wide := window.run("return document.documentElement.scrollWidth")) == 390:
                break
            time.sleep(0.1)
        assert wide == 390, "every table shows its numbers"
        assert "http://127.0.0.1:9/x" in window.requests()  # so silence above means silence
