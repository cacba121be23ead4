"""An optimizer is planned by the cost profile of its own class, also one of another package."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from shell import Cli, rows_of, tiny_suite

GUIDE = Path(__file__).parents[2] / "CONTRIBUTING.md"
FILE = re.compile(r"^```\w*\n# (\S+\.(?:py|toml))\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture
def installed(install: Callable[..., Path]) -> str:
    """The optimizer of the contributor's guide, installed for this test; its name."""
    files = dict(FILE.findall(GUIDE.read_text(encoding="utf-8")))
    targets = tomllib.loads(files["pyproject.toml"])["project"]["entry-points"]["pdadmm_bench.optimizers"]
    module = install("pdadmm_bench.optimizers", **targets) / "my_package" / "rmsprop.py"
    module.parent.mkdir()
    module.write_text(files["my_package/rmsprop.py"], encoding="utf-8")
    (name,) = targets
    return str(name)


@pytest.mark.dist
@pytest.mark.slow
def test_a_gradient_method_of_another_package_goes_through_a_pipeline(
    installed: str, with_store: Path, cli: Cli
) -> None:
    """A suite of two schedules makes two runs, their rows name the schedule, and ``scale`` measures both."""
    entry = f'[[entry]]\noptimizer = "{installed}"\nschedule = ["gpipe", "1f1b"]\ngpus = 2\n'
    (with_store / "mine.toml").write_text(tiny_suite(entry, device="cpu"))
    answer = cli("suite", "mine.toml")
    assert answer.code == 0, answer.err
    rows = rows_of(with_store / "results" / "mine" / "rows.json")
    assert [(row["status"], row["dist_schedule"]) for row in rows] == [("ok", "gpipe"), ("ok", "1f1b")]

    shape = ("--rows", "40", "--features", "6", "--hidden", "8", "--layers", "2", "--device", "cpu", "--threads", "1")
    options = (
        "--optimizer",
        installed,
        "--workers",
        "2",
        "--iterations",
        "1",
        "--repeats",
        "1",
        "--json",
        "out.json",
    )
    answer = cli("scale", *shape, *options)
    assert answer.code == 0, answer.err
    assert [row["schedule"] for row in rows_of(with_store / "out.json")] == ["gpipe", "1f1b"]


def test_quantised_q_is_planned_with_the_dual_it_keeps(cli: Cli) -> None:
    """``quantize=q`` keeps u, one array of N × n values more in every hidden layer than ``quantize=p``."""
    layers, hidden, rows = 12, 64, 500
    network = ("--layers", str(layers), "--hidden", str(hidden), "--train-per-class", str(rows // 2))
    data = ("--dataset", "sbm[nodes=2000,classes=2,features=8]", "--hops", "0", "--num-val", "50", "--num-test", "50")
    planned = {}
    for variable in ("p", "q"):
        options = ("--optimizer", "pdadmm-q", "--set", f"quantize={variable}", "--threads", "1", "--dry-run")
        answer = cli("run", *data, *network, *options)
        assert answer.code == 0, answer.err
        (planned[variable],) = map(float, re.findall(r"([\d.]+) MB", answer.out))
    assert planned["q"] - planned["p"] == pytest.approx((layers - 1) * rows * hidden * 4 / 1e6, abs=0.11)


def test_an_assumed_profile_is_named(cli: Cli, folder: Path) -> None:
    shape = ("--layers", "4", "--hidden", "10", "--rows", "100", "--features", "10", "--classes", "10")
    rates = ("--flops", "1e9", "--memory-bandwidth", "1e9", "--bandwidth", "1e9", "--latency", "0")
    answer = cli("predict", *shape, *rates, "--workers", "1", "--optimizer", "pdadmm-reference", "--json", "rows.json")
    assert answer.code == 0, answer.err
    assert "pdadmm-reference declares no cost profile: pdadmm's is assumed" in answer.err
    assert json.loads((folder / "rows.json").read_text())[0]["optimizer_name"] == "pdadmm-reference"
