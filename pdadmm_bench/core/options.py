"""The options of ``run``, from the command line and from a configuration file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field, field_validator

from pdadmm_bench.core.errors import UserError, unknown
from pdadmm_bench.core.names import setting_of
from pdadmm_bench.core.spec import DataSpec, ModelSpec, RunSpec
from pdadmm_bench.core.typed import Typed, build, read_toml

MOST_SEEDS = 10_000


class Output(Typed):
    """Options outside a :class:`RunSpec`: which runs are made, where data comes from, and where results go."""

    optimizer: list[str] = Field(["pdadmm"], min_length=1, description="repeatable; all for every one")
    seeds: list[int] = Field([0], description="how many (3 for 0, 1, 2), or which (0,100,200); one, if not given")
    data_root: Path | None = Field(
        None, description="folder of raw graphs laid out as PyG roots, only read; else PDADMM_BENCH_DATA"
    )
    cache: Path | None = Field(None, description="cache folder; else PDADMM_BENCH_CACHE, else the platform's")
    dist_timeout: float = Field(
        60.0,
        gt=0,
        description="seconds without a sign of life after which a worker is lost, and an exchange has failed",
    )
    offline: bool = Field(False, description="never touch the network")
    experiment: str = Field("pdadmm-bench", min_length=1, description="MLflow experiment")
    tracking_uri: str | None = Field(
        None, description="MLflow store; else MLFLOW_TRACKING_URI, else sqlite:///mlflow.db in this folder"
    )
    checkpoint: Path | None = Field(
        None, description="folder of checkpoints: a run that was interrupted or killed goes on from its last one"
    )
    checkpoint_every: float = Field(300.0, gt=0, description="seconds between two checkpoints of a run")
    json_file: Path | None = Field(None, description="write the result rows to this file")
    dry_run: bool = Field(False, description="show what would run, then stop")
    quiet: bool = Field(False, description="only warnings, failures and the final table")

    @field_validator("seeds", mode="before")
    @classmethod
    def _seeds(cls, value: Any) -> Any:
        """``3`` means seeds 0, 1, 2; ``"0,100"`` and ``"7,"`` list the seeds."""
        try:
            if isinstance(value, str):
                # A comma at the end makes a list of a single seed.
                value = (
                    [int(part) for part in value.strip().removesuffix(",").split(",")] if "," in value else int(value)
                )
        except ValueError:
            raise ValueError("give a number of seeds (3), or the seeds (0,100,200)") from None
        if isinstance(value, int):
            if value > MOST_SEEDS:
                raise ValueError(f"at most {MOST_SEEDS} seeds; a single seed of that number is given as '{value},'")
            value = list(range(value))
        return value

    @field_validator("seeds")
    @classmethod
    def _distinct(cls, seeds: list[int]) -> list[int]:
        if not seeds or min(seeds) < 0 or len(set(seeds)) != len(seeds):
            raise ValueError("give at least one seed, each once and none negative")
        return seeds

    @field_validator("optimizer", mode="before")
    @classmethod
    def _optimizers(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else value


def output_of(options: Mapping[str, Any]) -> Output:
    """The settings of :class:`Output` among the options of a verb; the others, and those not given, are left out."""
    given = {name: value for name, value in options.items() if name in Output.model_fields and value is not None}
    return build(Output, given, "option")


#: Every option that a model describes, by its name in Python.
FIELDS = {
    name: field
    for model in (DataSpec, ModelSpec, RunSpec, Output)
    for name, field in model.model_fields.items()
    if name not in ("data", "model", "seed")
}


def assignments(texts: list[str]) -> dict[str, Any]:
    """``["rho=1e-3", "adam.lr=1e-2"]`` as ``{"rho": "1e-3", "adam": {"lr": "1e-2"}}``."""
    values: dict[str, Any] = {}
    for text in texts:
        key, equals, value = (part.strip() for part in text.partition("="))
        optimizer, dot, name = key.rpartition(".")
        if not equals or not name or not value or (dot and not optimizer):
            raise UserError(f"--set {text!r}: give name=value, such as --set rho=1e-3 or --set adam.lr=1e-3")
        (values.setdefault(optimizer, {}) if dot else values)[name] = value
    return values


def overlay(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Merge two sources of ``set``. A value of ``above`` for all optimizers also replaces those below for one."""
    common = {key for key, value in above.items() if not isinstance(value, dict)}
    merged: dict[str, Any] = {}
    for key, value in below.items():
        if isinstance(value, dict):
            merged[key] = {name: item for name, item in value.items() if name not in common}
        else:
            merged[key] = value
    for key, value in above.items():
        merged[key] = {**merged.get(key, {}), **value} if isinstance(value, dict) else value
    return merged


def config_file(path: Path) -> dict[str, Any]:
    """Flat options from a TOML file; dashes and underscores in keys are the same, ``json`` is ``--json``."""
    options: dict[str, Any] = {}
    valid = ["json" if name == "json_file" else name for name in FIELDS]
    for key, value in read_toml(path).items():
        name = setting_of(key.replace("-", "_"))
        if name not in valid:
            raise unknown(f"key in {path}:", key, valid)
        options["json_file" if name == "json" else name] = value
    if not isinstance(options.get("set", {}), dict):
        raise UserError(f"{path}: set is a table: [set] with rho = 1e-3, or [set.adam] with lr = 1e-3")
    return options
