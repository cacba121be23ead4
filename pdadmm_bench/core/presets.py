"""Hyperparameter presets: ``runners/tuning/<preset>/<optimizer>.toml``.

A file is a list of ``[[entry]]`` tables. An entry applies to the datasets, the kinds of split, the depth and the width
that it names, or to all where it names none; one that is for reduced features, for mini-batches, or for training
without a warm start, applies to no others. Later entries override earlier ones key by key. ``published`` holds values
from papers and the authors' code, with their source. ``default`` holds the project's values, chosen on validation
accuracy only.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from pdadmm_bench.core import resources
from pdadmm_bench.core.errors import UserError, unknown
from pdadmm_bench.core.spec import Initialisation, RunSpec
from pdadmm_bench.core.typed import Typed, build, read_toml

FOLDER = "runners/tuning"
NONE = "none"
NAMES = ("default", "published", NONE)


class PresetEntry(Typed):
    """Values for some datasets, splits, depths and widths."""

    datasets: list[str] = []
    splits: list[Literal["auto", "public", "random", "fraction", "full"]] = []
    """Kinds of split by the name that the run gives; the last two have many training rows."""
    reduced: bool = False
    """Whether it is for features in fewer coordinates (``--reduce``) alone."""
    batches: bool = False
    """Whether it is for mini-batches (``--batch-size``) alone."""
    init: Initialisation | None = None
    """Whether it is for training from these weights (``--init``) without a warm start alone."""
    layers: int | None = None
    hidden: int | None = None
    values: dict[str, Any]

    def applies(self, spec: RunSpec) -> bool:
        """Whether the entry applies to this run.

        A generated twin counts as its original, and a dataset with parameters as the one without.
        """
        data, model = spec.data, spec.model
        named = not self.datasets or data.dataset.partition("[")[0].removesuffix("-sbm") in self.datasets
        named = named and (not self.splits or data.split in self.splits) and (not self.reduced or data.reduce != "none")
        named = named and (not self.batches or spec.batch_size > 0)
        named = named and (self.init is None or (self.init, "none") == (model.init, spec.warm_start))
        return named and self.layers in (None, model.layers) and self.hidden in (None, model.hidden)

    def __str__(self) -> str:
        return f"{', '.join(self.datasets) or 'any dataset'} with {self.layers or 'any'} × {self.hidden or 'any'}"


class Preset(Typed):
    """The content of one preset file."""

    source: str = Field(description="where the values come from")
    entry: list[PresetEntry] = []


def check(preset: str) -> None:
    """Raise :class:`UserError` for an unknown preset."""
    if preset not in NAMES:
        raise unknown("preset", preset, NAMES)


def resolve(spec: RunSpec) -> dict[str, Any]:
    """The values of the run's preset; for ``none`` it is empty, so that the optimizer's own defaults apply.

    Raises :class:`UserError` for an unknown preset, and for ``published`` values that nobody published.
    """
    preset, optimizer, model = spec.preset, spec.optimizer, spec.model
    check(preset)
    if preset == NONE:
        return {}
    path = resources.find(f"{FOLDER}/{preset}/{optimizer}.toml")
    if path is None:
        if preset == "default":  # an optimizer of another package: its own defaults are its preset
            return {}
        raise UserError(f"there is no preset {preset!r} for optimizer {optimizer!r}; use --preset default or none")
    file = build(Preset, read_toml(path), f"preset {path.name}:")
    entries = [entry for entry in file.entry if entry.applies(spec)]
    if preset == "published" and not entries:
        raise UserError(
            f"nothing is published for {optimizer} on {spec.data.dataset} with {model.layers} × {model.hidden} "
            f"(layers × units); there is: {'; '.join(map(str, file.entry))}. "
            "Use one of these, or --preset default or none"
        )
    return {key: value for entry in entries for key, value in entry.values.items()}
