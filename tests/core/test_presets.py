"""Hyperparameter presets: the shipped ones, and which entries apply."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import pytest

from pdadmm_bench.core import presets, resources
from pdadmm_bench.core.errors import UserError
from pdadmm_bench.core.presets import Preset
from pdadmm_bench.core.spec import run_spec
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
            spec = run_spec(
                {
                    "preset": path.parent.name,
                    "optimizer": path.stem,
                    "dataset": dataset,
                    "split": split,
                    "reduce": "rows" if entry.reduced else "none",
                    "layers": entry.layers or 10,
                    "hidden": entry.hidden or 256,
                    "init": entry.init or "he",
                    "warm_start": "none" if entry.init else "auto",
                    "batch_size": 512 if entry.batches else 0,
                }
            )
            assert entry.applies(spec)
            values = presets.resolve(spec)
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
[[entry]]
init = "identity"
values = { lr = 5.0 }
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


def resolved(dataset: str = "cora", preset: str = "default", optimizer: str = "sgd", **settings: Any) -> dict[str, Any]:
    """The preset's values for a run."""
    return presets.resolve(run_spec({"dataset": dataset, "preset": preset, "optimizer": optimizer, **settings}))


def test_later_entries_override_key_by_key(overlay: Path) -> None:
    assert resolved("pubmed") == {"lr": 1.0, "momentum": 0.5}
    assert resolved("cora") == {"lr": 2.0, "momentum": 0.5}
    assert resolved("cora-sbm", layers=2) == {"lr": 2.0, "momentum": 0.25}
    assert resolved("cora[a=1]") == {"lr": 2.0, "momentum": 0.5}
    assert resolved(split="fraction") == {"lr": 3.0, "momentum": 0.5}
    assert resolved(reduce="rows") == {"lr": 2.0, "momentum": 0.75}
    assert resolved(split="fraction", batch_size=512) == {"lr": 4.0, "momentum": 0.5}
    assert resolved(preset="none") == {}
    assert resolved(optimizer="theirs") == {}


def test_values_for_a_start_are_for_training_without_a_warm_start(overlay: Path) -> None:
    assert resolved(init="identity", warm_start="none") == {"lr": 5.0, "momentum": 0.5}
    assert resolved(init="identity") == resolved(init="he", warm_start="none") == {"lr": 2.0, "momentum": 0.5}


def test_values_nobody_published(overlay: Path) -> None:
    with pytest.raises(
        UserError, match=r"nothing is published for sgd on pubmed with 3 × 7 .*there is: cora with any × any"
    ):
        resolved("pubmed", "published", layers=3, hidden=7)
    with pytest.raises(UserError, match="no preset 'published' for optimizer 'theirs'; use --preset default"):
        resolved("pubmed", "published", "theirs")
    with pytest.raises(UserError, match="unknown preset 'publishd': did you mean published"):
        resolved("pubmed", "publishd")
