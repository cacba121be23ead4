"""Hyperparameter presets: the shipped ones, and which entries apply."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pytest

from pdadmm_bench.core import presets, resources
from pdadmm_bench.core.errors import UserError
from pdadmm_bench.core.presets import Preset
from pdadmm_bench.core.spec import DataSpec, ModelSpec
from pdadmm_bench.core.typed import build, read_toml
from pdadmm_bench.optim import contenders
from pdadmm_bench.optim import registry as optimizers

SHIPPED = sorted(
    path for path in (resources.roots()[-1] / presets.FOLDER).glob("*/*.toml") if path.parent.name in presets.NAMES
)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_shipped_presets_fit_their_optimizers(path: Path) -> None:
    preset = build(Preset, read_toml(path), path.name)
    assert preset.entry
    known = resources.names("datasets")
    for entry in preset.entry:
        assert set(entry.datasets) <= set(known)
        for dataset, split in product(entry.datasets or ["pubmed"], entry.splits or ["auto"]):
            model = ModelSpec(layers=entry.layers or 10, hidden=entry.hidden or 256)
            data = DataSpec(dataset=dataset, split=split, reduce="rows" if entry.reduced else "none")
            values = presets.resolve(path.parent.name, path.stem, data, model, 512 if entry.batches else 0)
            assert set(entry.values) <= set(values)
            optimizers.get(path.stem).create(values, path.stem)


def test_every_contender_has_a_default() -> None:
    assert {path.stem for path in SHIPPED if path.parent.name == "default"} >= set(contenders())


ENTRIES = """
source = "a test"
[[entry]]
values = { lr = 1.0, momentum = 0.5 }
[[entry]]
datasets = ["cora"]
values = { lr = 2.0 }
[[entry]]
layers = 2
values = { momentum = 0.25 }
[[entry]]
splits = ["fraction"]
values = { lr = 3.0 }
[[entry]]
reduced = true
values = { momentum = 0.75 }
[[entry]]
batches = true
values = { lr = 4.0 }
"""


@pytest.fixture
def overlay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / presets.FOLDER
    for name in ("default", "published"):
        (folder / name).mkdir(parents=True)
    (folder / "default" / "sgd.toml").write_text(ENTRIES)
    (folder / "published" / "sgd.toml").write_text('source = "a test"\n[[entry]]\ndatasets = ["cora"]\nvalues = {}')
    monkeypatch.setenv(resources.VARIABLE, str(tmp_path))
    return tmp_path


def test_later_entries_override_key_by_key(overlay: Path) -> None:
    two, ten = ModelSpec(layers=2), ModelSpec(layers=10)
    assert presets.resolve("default", "sgd", DataSpec(dataset="pubmed"), ten) == {"lr": 1.0, "momentum": 0.5}
    assert presets.resolve("default", "sgd", DataSpec(dataset="cora"), ten) == {"lr": 2.0, "momentum": 0.5}
    assert presets.resolve("default", "sgd", DataSpec(dataset="cora-sbm"), two) == {"lr": 2.0, "momentum": 0.25}
    assert presets.resolve("default", "sgd", DataSpec(dataset="cora[a=1]"), ten) == {"lr": 2.0, "momentum": 0.5}
    many = DataSpec(dataset="cora", split="fraction")
    assert presets.resolve("default", "sgd", many, ten) == {"lr": 3.0, "momentum": 0.5}
    reduced = DataSpec(dataset="cora", reduce="rows")
    assert presets.resolve("default", "sgd", reduced, ten) == {"lr": 2.0, "momentum": 0.75}
    assert presets.resolve("default", "sgd", many, ten, batch_size=512) == {"lr": 4.0, "momentum": 0.5}
    assert presets.resolve("none", "sgd", DataSpec(dataset="cora"), two) == {}
    assert presets.resolve("default", "theirs", DataSpec(dataset="cora"), two) == {}


def test_values_nobody_published(overlay: Path) -> None:
    model = ModelSpec(layers=3, hidden=7)
    with pytest.raises(
        UserError, match=r"nothing is published for sgd on pubmed with 3 × 7 .*there is: cora with any × any"
    ):
        presets.resolve("published", "sgd", DataSpec(dataset="pubmed"), model)
    with pytest.raises(UserError, match="no preset 'published' for optimizer 'theirs'; use --preset default"):
        presets.resolve("published", "theirs", DataSpec(dataset="pubmed"), model)
    with pytest.raises(UserError, match="unknown preset 'publishd': did you mean published"):
        presets.resolve("publishd", "sgd", DataSpec(dataset="pubmed"), model)
