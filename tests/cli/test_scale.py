"""``scale``: what it refuses before it starts a worker, and how it ends when one fails."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
from shell import Cli

SHAPE = ("--rows", "40", "--features", "6", "--hidden", "8", "--layers", "4", "--device", "cpu")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--workers", "1,5"), "5 workers need at least as many layers, got 4"),
        (("--workers", "two"), "--workers 'two': give whole numbers from 1 on"),
        (("--layers", "0"), "--layers '0': give whole numbers from 1 on"),
        (("--partition", "3,3"), "partition '3,3' has 6 layers and the network 4"),
        (("--mesh", "layers=2,rows=2"), "mesh layers=2,rows=2 fits no number of workers among 1, 2"),
        (("--schedule", "pipedream"), "should be 'gpipe', '1f1b' or 'zero-bubble'"),
        (("--schedule", "zero-bubble", "--microbatches", "3"), "zero-bubble needs a multiple of the workers"),
        (("--workers", "1,3", "--microbatches", "2"), "1f1b needs at least as many as workers, 3"),
        (("--optimizer", "adm"), "did you mean"),
        (("--microbatches", "few"), "give a number of micro-batches, at least 1 (as in 8), or auto"),
        (
            ("--optimizer", "adam", "--mesh", "rows", "--batch-size", "41"),
            "--batch-size 41: there are 40 training rows",
        ),
        (("--batch-size", "8"), "--batch-size 8: pdadmm uses all training rows"),
        (("--set", "lr"), "--set 'lr': give name=value"),
        (("--set", "sgd.lr=1"), "sgd is not among the optimizers of this run"),
        (("--set", "step=row"), "should be 'layer', 'row-unit', 'exact-W' or 'exact'"),
        (("--optimizer", "adam", "--wire", "bf16"), "adam"),
        (("--dataset", "pubmed"), "either --dataset NAME or --rows N"),
        (("--json", "file/rows.json"), "file is not a folder"),
    ],
    ids=" ".join,
)
def test_refused_at_once(
    options: tuple[str, ...], says: str, cli: Cli, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "file").touch()
    for kind in (BaseProcess, subprocess.Popen):
        monkeypatch.setattr(kind, "__init__", lambda *_, **__: pytest.fail("started a process"))
    assert says in cli("scale", *SHAPE, *options).error


@pytest.mark.dist
def test_a_worker_that_fails_is_named(cli: Cli, folder: Path, install: Callable[..., Path]) -> None:
    install("pdadmm_bench.optimizers", killed="faults:Killed")
    options = ("--workers", "2", "--optimizer", "killed", "--iterations", "9", "--json", "rows.json")
    answer = cli("scale", *SHAPE, *options)
    assert (answer.code, answer.out) == (1, "")
    assert answer.err.startswith("error: the measurement failed: worker 1: killed by SIGKILL")
    assert answer.err.count("\n") == 1
    assert not (folder / "rows.json").exists()
