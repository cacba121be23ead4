"""A warm start on a real graph: what the deep stage does to the training loss that it begins with."""

from __future__ import annotations

from pathlib import Path

import pytest

from pdadmm_bench.core.spec import run_spec
from pdadmm_bench.data.load import load_problem
from pdadmm_bench.training.run import run


@pytest.mark.slow
@pytest.mark.parametrize(("nu_per", "rises"), [("layer", True), ("depth", False)])
def test_with_penalties_per_depth_ten_layers_keep_the_loss_of_two(
    nu_per: str, rises: bool, real_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each layer equation gives way by δ/ν, and ten of them by five times as much as two."""
    monkeypatch.setenv("PDADMM_BENCH_DATA", str(real_data))
    common = {"dataset": "pubmed", "hidden": 64, "optimizer": "pdadmm", "set": {"nu_per": nu_per}, "threads": 1}
    two = run_spec({**common, "layers": 2, "iterations": 100, "eval_every": 100})
    ten = run_spec({**common, "layers": 10, "iterations": 100, "eval_every": 100})
    problem = load_problem(two.data)
    before, after = (run(spec, problem).row["loss_train_final"] for spec in (two, ten))
    assert (after > before) is rises, (before, after)
