"""The steps of the Dockerfile in full: an environment that was empty, with every package from an index."""

from __future__ import annotations

import json
import os
from pathlib import Path

import dockerfile
import pytest
from image import Image

INDEX = "PDADMM_BENCH_TEST_INSTALL"


@pytest.mark.slow
@pytest.mark.network
@pytest.mark.timeout(2 * dockerfile.PATIENCE_S)
@pytest.mark.skipif(not os.environ.get(INDEX), reason=f"installs 1.8 GB: set {INDEX} to the index that has torch")
def test_every_optimizer_runs_in_an_environment_that_was_empty(tmp_path: Path) -> None:
    """``pip check`` is one of the steps."""
    image = Image(tmp_path)
    for stage in ("wheel", "environment"):
        dockerfile.perform(stage, image.root, {"TORCH_INDEX": os.environ[INDEX]})
    for folder in ("cache", "data", "results"):
        (image.root / folder).mkdir()
    image.cut_off()
    small = ("--layers", "3", "--hidden", "16", "--iterations", "10", "--json", "rows.json")
    image.run("pdadmm-bench", "run", "--dataset", "sbm", "--optimizer", "all", *small, folder=image.root / "results")
    rows = json.loads((image.root / "results/rows.json").read_text(encoding="utf-8"))
    assert [row["status"] for row in rows] == ["ok"] * 7
    assert not image.network_log.exists(), image.network_log.read_text()
