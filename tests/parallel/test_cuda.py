"""The same over NCCL, where there are devices."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import torch
from crew import Outcome, settings
from toy import toy_problem

from pdadmm_bench.core.spec import RunSpec
from pdadmm_bench.parallel.group import joined
from pdadmm_bench.parallel.launch import launch
from pdadmm_bench.training.run import run

WORKERS = 2

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.dist,
    pytest.mark.skipif(torch.cuda.device_count() < WORKERS, reason=f"needs {WORKERS} CUDA devices"),
]

COMMON = {"layers": 6, "hidden": 64, "init": "he", "iterations": 20, "device": "cuda"}
SPECS = {
    "pdadmm": settings(optimizer="pdadmm", **COMMON),
    "pdadmm bf16": settings(optimizer="pdadmm", wire="bf16", **COMMON),
    "pdadmm-q": settings(optimizer="pdadmm-q", **COMMON),
    "dladmm": settings(optimizer="dladmm", **COMMON),
    "adam gpipe": settings(optimizer="adam", microbatches=5, **COMMON),
    "adam 1f1b": settings(optimizer="adam", schedule="1f1b", microbatches=5, **COMMON),
}


def work(specs: dict[str, RunSpec], out: Path) -> None:
    """One of the workers, each with a device of its own."""
    found = {}
    with joined("cuda", 60.0) as group:
        for name, spec in specs.items():
            problem = toy_problem(rows=333, features=48) if group.rank == 0 else None
            result = run(spec.model_copy(update={"gpus": WORKERS}), problem, group=group)
            found[name] = Outcome(result.row, result.history)
    if group.rank == 0:
        out.write_bytes(pickle.dumps(found))


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outcome]:
    out = tmp_path_factory.mktemp("cuda") / "outcomes.pickle"
    launch(WORKERS, work, SPECS, out)
    return pickle.loads(out.read_bytes())


@pytest.mark.parametrize("name", SPECS)
def test_two_devices_give_what_one_gives_to_rounding(outcomes: dict[str, Outcome], name: str) -> None:
    many, one = outcomes[name], run(SPECS[name], toy_problem(rows=333, features=48))
    assert (many.row["status"], one.row["status"]) == ("ok", "ok"), many.row["status_reason"]
    assert many.row["dist_device"] == one.row["dist_device"] == "cuda"
    assert many.row["dist_sent_bytes"] > 0
    for ours, theirs in zip(many.history, one.history, strict=True):
        for key in {"objective", "loss_train", "loss_test"} & ours.keys():
            assert ours[key] == pytest.approx(theirs[key], rel=1e-4), (ours["iteration"], key)


@pytest.mark.gpu
def test_replayed_iterations_are_the_launched_ones() -> None:
    problem = toy_problem(rows=333, features=48)
    plain, replayed = (run(settings(optimizer="pdadmm", cuda_graphs=on, **COMMON), problem) for on in (False, True))
    assert (plain.row["status"], replayed.row["status"]) == ("ok", "ok"), replayed.row["status_reason"]
    assert plain.row["weights_sha256"] == replayed.row["weights_sha256"]
