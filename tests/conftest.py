"""Shared fixtures: no test reads the user's folders, and real data is used where its folder is named."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

REAL_DATA = os.environ.get("PDADMM_BENCH_DATA")


@pytest.fixture(autouse=True)
def _own_folders(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Every test starts without a data root or overlay and with an empty cache."""
    monkeypatch.delenv("PDADMM_BENCH_DATA", raising=False)
    monkeypatch.delenv("PDADMM_BENCH_SHARE", raising=False)
    monkeypatch.setenv("PDADMM_BENCH_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def real_data() -> Path:
    """The folder of real raw files that ``PDADMM_BENCH_DATA`` named when pytest was started."""
    if not REAL_DATA:
        pytest.skip("set PDADMM_BENCH_DATA to a folder of real raw files")
    return Path(REAL_DATA)
