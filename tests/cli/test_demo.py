"""``pdadmm-bench demo``: rows and a page, without a network or a store."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from shell import Cli, rows_of

from pdadmm_bench.cli.verbs import demo
from pdadmm_bench.training.planned import plan


@pytest.mark.dist
def test_three_optimizers_two_workers_and_a_page_that_opens(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr("pdadmm_bench.tracking.ui.open_in_browser", lambda address: not opened.append(address))
    monkeypatch.setattr(demo, "RUNS", {**demo.RUNS, "seeds": 1, "iterations": 3, "hidden": 8})
    answer = cli("demo", "--out", "there")
    assert answer.code == 0, answer.err
    rows = rows_of(Path("there/rows.json"))
    assert [row["optimizer_name"] for row in rows] == demo.RUNS["optimizer"]
    assert {(row["status"], row["dist_workers"]) for row in rows} == {("ok", 2)}
    assert opened == [Path("there/report.html").resolve().as_uri()]
    assert {path.name for path in Path().iterdir()} == {"there"}


def test_the_command_that_it_names_makes_the_same_runs() -> None:
    words = shlex.split(demo.command(Path("rows.json")))
    assert words[:2] == ["pdadmm-bench", "run"]
    options: dict[str, object] = {}
    for name, value in zip(words[2::2], words[3::2], strict=True):
        name = name.removeprefix("--")
        options[name] = [*options.get(name, []), value] if name == "optimizer" else value  # type: ignore[misc]
    options["json_file"], options["gpus"] = options.pop("json"), options.pop("workers")
    assert plan(options)[1] == plan(demo.RUNS)[1]
    assert len(demo.RUNS["optimizer"]) == 3
