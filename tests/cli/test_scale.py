"""``scale``: what it refuses before it starts a worker, and how it ends when one fails."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from shell import Cli

from pdadmm_bench.parallel import launch
from pdadmm_bench.timing import scaling

SHAPE = ("--rows", "40", "--features", "6", "--hidden", "8", "--layers", "4", "--device", "cpu")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--workers", "1,5"), "5 workers need at least as many layers, got 4"),
        (("--workers", "two"), "--workers 'two': give whole numbers from 1 on"),
        (("--layers", "0"), "--layers '0': give whole numbers from 1 on"),
        (("--partition", "3,3"), "partition '3,3' has 6 layers and the network 4"),
        (("--schedule", "pipedream"), "should be 'gpipe' or '1f1b'"),
        (("--optimizer", "adm"), "did you mean"),
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
    monkeypatch.setattr(scaling, "launch", None)
    assert says in cli("scale", *SHAPE, *options).error


def test_a_worker_that_fails_is_named(cli: Cli, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: Any) -> None:
        raise launch.WorkerFailure(1, "does not answer", "its log")

    monkeypatch.setattr(scaling, "launch", failing)
    answer = cli("scale", *SHAPE, "--json", "rows.json")
    assert (answer.code, answer.out) == (1, "")
    assert answer.err == "error: the measurement failed: worker 1: does not answer\n"
    assert not (folder / "rows.json").exists()
