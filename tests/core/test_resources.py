"""The folders of data, and a user's overlay."""

from __future__ import annotations

from pathlib import Path

import pytest

from pdadmm_bench.core import resources
from pdadmm_bench.core.errors import UserError


def test_an_overlay_wins_file_by_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = resources.roots()[-1]
    ours, theirs = "runners/tuning/default/sgd.toml", "datasets/mine.toml"
    for name in (ours, theirs):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).touch()
    monkeypatch.setenv(resources.VARIABLE, str(tmp_path))
    assert resources.find(ours) == tmp_path / ours
    assert resources.find("runners/tuning/default/adam.toml") == own / "runners/tuning/default/adam.toml"
    assert resources.find("datasets/none.toml") is None
    assert {"mine", "cora"} < set(resources.names("datasets"))


def test_an_overlay_that_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(resources.VARIABLE, "/nowhere")
    with pytest.raises(UserError, match=rf"/nowhere \(--share or {resources.VARIABLE}\) is not a folder"):
        resources.roots()


def test_the_folders_of_data_hold_no_python() -> None:
    own = resources.roots()[-1]
    assert (own / "datasets").is_dir()
    assert [path for folder in resources.FOLDERS for path in (own / folder).rglob("*.py")] == []
