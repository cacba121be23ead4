"""``profile``: an iteration beside its products and rivals, speed files with targets, and what one may do wrong."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from fresh_python import run_in_fresh_python
from hold import Hold
from shell import Cli, finish, rows_of, start

SHAPE = ("--rows", "60", "--features", "12", "--classes", "4", "--layers", "3", "--hidden", "16", "--threads", "1")
FILE = """
[[entry]]
name = "far too fast"
rows = 60
layers = 3
hidden = 16
repeats = 3
threads = 1
targets = { ratio_to_floor = { most = 0.01 }, iteration_s = { most = 100 } }

[[entry]]
name = "nothing a CPU has"
rows = 60
precision = "tf32"
device = "cpu"
targets = { ratio_to_floor = { most = 1.1 } }
"""


@pytest.mark.slow
def test_a_process_measures_in_turn_and_writes_a_flat_row(tmp_path: Path) -> None:
    arguments = ("profile", *SHAPE, "--repeats", "5", "--json", "rows.json")
    answer = finish(start(*arguments, cwd=tmp_path, cache=tmp_path))
    assert answer.code == 0, answer.err
    assert answer.err == ""
    (row,) = rows_of(tmp_path / "rows.json")
    for figure in (
        "iteration_s",
        "floor_s",
        "ratio_to_floor",
        "adam_s",
        "ratio_to_adam",
        "reference_s",
        "reference_ratio",
    ):
        assert row[f"{figure}_low"] <= row[figure] <= row[f"{figure}_high"]
    assert {
        "status": "ok",
        "n": 5,
        "optimizer_name": "pdadmm",
        "dist_threads": 1,
        "schema_version": 1,
    }.items() <= row.items()
    assert (row["dataset_rows"], row["dataset_features"], row["dataset_classes"]) == (60, 12, 4)
    for name in ("products_count", "products_flops", "allocations_count", "memory_peak_bytes", "memory_state_bytes"):
        assert row[name] > 0
    assert "iteration / products" in answer.out
    assert "literal reference" in answer.out
    assert "z_L" in answer.out


@pytest.mark.slow
def test_a_missed_target_fails_nothing(cli: Cli, folder: Path) -> None:
    (folder / "mine.toml").write_text(FILE)
    answer = cli("profile", "mine.toml", "--json", "rows.json", "--plot", "speed.svg")
    assert answer.code == 0, answer
    lines = {line.split("│")[2].strip(): line for line in answer.out.splitlines() if "far too fast" in line}
    assert "missed" in lines["iteration / products"]
    assert "met" in lines["iteration"]
    assert "CUDA" in answer.out
    assert [row["status"] for row in rows_of(folder / "rows.json")] == ["ok", "skipped"]
    assert (folder / "speed.svg").read_text().startswith("<?xml")


@pytest.mark.slow
def test_entries_can_be_chosen(cli: Cli, folder: Path) -> None:
    (folder / "mine.toml").write_text(FILE)
    cli("profile", "mine.toml", "--only", "far too fast", "--repeats", "1", "--json", "rows.json")
    (row,) = rows_of(folder / "rows.json")
    assert (row["entry"], row["n"], row["iteration_s_low"]) == ("far too fast", 1, None)
    assert "did you mean far too fast" in cli("profile", "mine.toml", "--only", "far too fats").error


@pytest.mark.slow
def test_rivals_can_be_left_out(cli: Cli, folder: Path) -> None:
    answer = cli("profile", *SHAPE, "--repeats", "1", "--no-adam", "--budget", "0", "--json", "rows.json")
    assert answer.code == 0, answer
    (row,) = rows_of(folder / "rows.json")
    assert "adam_s" not in row
    assert "reference_s" not in row
    assert "budget leaves 0 s" in answer.out


@pytest.mark.slow
def test_ctrl_c_shows_what_was_measured(tmp_path: Path, hold: Hold) -> None:
    endless = FILE.split("[[entry]]")[1].replace("far too fast", "endless").replace("repeats = 3", "repeats = 100000")
    (tmp_path / "mine.toml").write_text(f'{FILE}[[entry]]{endless}optimizer = "held"\n')
    process = start("profile", "mine.toml", "--json", "rows.json", cwd=tmp_path, cache=tmp_path)
    hold.wait(process)
    process.send_signal(signal.SIGINT)
    answer = finish(process)
    assert answer.code == 130
    assert "Traceback" not in answer.err
    assert "endless: interrupted, stopped by the user" in answer.err
    assert [row["status"] for row in rows_of(tmp_path / "rows.json")] == ["ok", "skipped", "interrupted"]
    assert "far too fast" in answer.out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "either dataset, or rows"),
        (("--rows", "9", "--dataset", "cora"), "either dataset, or rows"),
        (("--rows", "0"), "rows=0 is not valid"),
        (("--rows", "9", "--layers", "1"), "layers=1 is not valid"),
        (("--rows", "9", "--precision", "fp8"), "precision='fp8'"),
        (("--rows", "9", "--precision", "tf32", "--device", "cpu"), "CUDA"),
        (("--rows", "9", "--optimizer", "pdadmm-reference", "--precision", "bf16"), "computes in fp32, not bf16"),
        (("--rows", "9", "--optimizer", "adm"), "did you mean"),
        (("--rows", "9", "--set", "rhoo=1"), "did you mean rho"),
        (("--rows", "9", "--only", "x"), "name the file"),
        (("--rows", "9", "--plot", "x.doc"), "ends in one of"),
        (("--rows", "9", "--json", "."), "not a regular file"),
        (("--dataset", "corra"), "did you mean cora"),
        (("missing.toml",), "no such speed file: missing.toml"),
        (("speed", "--layers", "3"), "--layers does not go with a speed file"),
        (("speed", "--set", "rho=1"), "--set does not go with a speed file"),
    ],
)
def test_what_cannot_be_profiled_is_refused(cli: Cli, arguments: tuple[str, ...], says: str) -> None:
    assert says in cli("profile", *arguments).error


def test_help_comes_without_what_is_slow() -> None:
    code = (
        "import sys\nfrom pdadmm_bench.cli.main import main\nsys.argv = ['pdadmm-bench', 'profile', '--help']\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "print(sorted({'torch', 'numpy', 'scipy', 'rich', 'matplotlib'} & sys.modules.keys()))"
    )
    assert run_in_fresh_python(code)[-1] == "[]"


def test_the_reference_runs_when_it_is_named_only(cli: Cli, folder: Path) -> None:
    assert "reference to measure" in cli("list", "optimizers").out
    assert "output_tolerance" in cli("info", "pdadmm-reference").out
    assert "pdadmm-reference" not in cli("run", "--dataset", "sbm", "--optimizer", "all", "--dry-run").out
    assert "pdadmm-reference" in cli("run", "--dataset", "sbm", "--optimizer", "pdadmm-reference", "--dry-run").out
