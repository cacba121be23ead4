"""``pdadmm-bench run``: train optimizers on one dataset, over seeds, and track what happens.

Precedence of options: command line, then the ``--config`` file, then the defaults.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import Field, field_validator

from pdadmm_bench.core.errors import UserError, unknown
from pdadmm_bench.core.spec import DataSpec, ModelSpec, RunSpec, run_spec
from pdadmm_bench.core.typed import Typed, build, read_toml

FAILURES = ("error", "oom", "diverged")
SPEC_OPTIONS = [*DataSpec.model_fields, *ModelSpec.model_fields, *RunSpec.model_fields]


class Output(Typed):
    """Where data comes from and results go: settings that do not change a result."""

    optimizer: list[str] = ["pdadmm"]
    seeds: list[int] = [0]
    data_root: Path | None = None
    cache: Path | None = None
    offline: bool = False
    experiment: str = Field("pdadmm-bench", min_length=1)
    tracking_uri: str | None = None
    json_file: Path | None = None
    dry_run: bool = False
    quiet: bool = False

    @field_validator("seeds", mode="before")
    @classmethod
    def _seeds(cls, value: Any) -> Any:
        """``3`` means seeds 0, 1, 2; ``"0,100"`` and ``"7,"`` name them."""
        try:
            if isinstance(value, str) and "," in value:
                value = [int(part) for part in value.split(",") if part.strip()]
            elif not isinstance(value, list):
                value = list(range(int(value)))
        except ValueError:
            raise ValueError("give a number of seeds (3), or the seeds (0,100,200)") from None
        if not value or min(value) < 0 or len(set(value)) != len(value):
            raise ValueError("give at least one seed, each once and none negative")
        return value

    @field_validator("optimizer", mode="before")
    @classmethod
    def _optimizers(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else value


def run(
    dataset: Annotated[str | None, typer.Option(help="card, twin (pubmed-sbm) or sbm[nodes=2000,...]; pubmed")] = None,
    optimizer: Annotated[list[str] | None, typer.Option(help="repeatable; all for every one; pdadmm")] = None,
    layers: Annotated[int | None, typer.Option(help="linear layers; 10")] = None,
    hidden: Annotated[int | None, typer.Option(help="units per hidden layer; 256")] = None,
    init: Annotated[str | None, typer.Option(help="starting weights: normal, he, identity; normal")] = None,
    hops: Annotated[int | None, typer.Option(help="K of [x, Ãx, …, Ã^K x]; 4")] = None,
    normalize: Annotated[bool | None, typer.Option("--normalize/--no-normalize", help="row-normalise x; no")] = None,
    split: Annotated[str | None, typer.Option(help="auto, public or random; auto is the card's own")] = None,
    split_seed: Annotated[int | None, typer.Option(help="seed of the random split; 0")] = None,
    train_per_class: Annotated[int | None, typer.Option(help="random split: training nodes per class; 20")] = None,
    num_val: Annotated[int | None, typer.Option(help="random split: validation nodes; 1000")] = None,
    num_test: Annotated[int | None, typer.Option(help="random split: test nodes; 1000")] = None,
    iterations: Annotated[int | None, typer.Option(help="sweeps or full-batch steps; 200")] = None,
    seeds: Annotated[str | None, typer.Option(help="how many (3), or which (0,100,200); 1")] = None,
    preset: Annotated[str | None, typer.Option(help="hyperparameters: default, published, none; default")] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="hyperparameter rho=1e-3, or adam.lr=1e-3; repeatable")
    ] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu or cuda; auto")] = None,
    gpus: Annotated[int | None, typer.Option(help="workers the layers are split over; 1")] = None,
    threads: Annotated[int | None, typer.Option(help="CPU threads per worker; cores // workers")] = None,
    target: Annotated[float | None, typer.Option(help="stop at this validation accuracy")] = None,
    time_limit: Annotated[float | None, typer.Option(help="stop after this many training seconds")] = None,
    eval_every: Annotated[int | None, typer.Option(help="iterations between evaluations; 1")] = None,
    experiment: Annotated[str | None, typer.Option(help="MLflow experiment; pdadmm-bench")] = None,
    tracking_uri: Annotated[
        str | None, typer.Option(help="MLflow store; MLFLOW_TRACKING_URI, else sqlite:///mlflow.db")
    ] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="write the result rows to this file")] = None,
    data_root: Annotated[Path | None, typer.Option(help="raw graphs, read only; PDADMM_BENCH_DATA")] = None,
    cache: Annotated[Path | None, typer.Option(help="cache folder; PDADMM_BENCH_CACHE")] = None,
    offline: Annotated[bool | None, typer.Option("--offline", help="never touch the network")] = None,
    config: Annotated[Path | None, typer.Option(help="TOML file with the same keys; the command line wins")] = None,
    dry_run: Annotated[bool | None, typer.Option("--dry-run", help="show what would run, then stop")] = None,
    quiet: Annotated[bool | None, typer.Option("--quiet", help="only the final table and errors")] = None,
) -> None:
    """Train on one dataset with any optimizers of the registry, tracked in MLflow.

    Precedence: command line, then --config, then defaults. Every optimizer of a seed starts from the same weights.
    """
    given = {name: value for name, value in locals().items() if value is not None and name not in ("config", "set_")}
    options = {**(_config_file(config) if config else {}), **given}
    options["set"] = {**options.get("set", {}), **_assignments(set_ or [])}
    output, specs = plan(options)
    if output.dry_run:
        from pdadmm_bench.cli.plan import show_plan

        show_plan(specs)
        return
    from pdadmm_bench.cli.execute import execute

    raise typer.Exit(execute(specs, output))


def plan(options: Mapping[str, Any]) -> tuple[Output, list[RunSpec]]:
    """The runs that flat ``options`` ask for, checked as far as is possible without data: seeds × optimizers."""
    from pdadmm_bench.optim import registry

    output = build(Output, {key: value for key, value in options.items() if key in Output.model_fields}, "option")
    settings = {key: value for key, value in options.items() if key not in Output.model_fields}
    chosen = [name for item in output.optimizer for name in (registry.names() if item == "all" else [item])]
    assigned = settings.pop("set", {})
    for key, value in assigned.items():
        if isinstance(value, dict) and key not in registry.names():
            raise unknown("optimizer", key, registry.names())
    specs = [
        run_spec({**settings, "optimizer": name, "seed": seed, "set": _for_optimizer(assigned, name)})
        for seed in output.seeds
        for name in dict.fromkeys(chosen)
    ]
    return output, specs


def _for_optimizer(assigned: Mapping[str, Any], optimizer: str) -> dict[str, Any]:
    """The values of ``set`` that are for everyone or for ``optimizer``."""
    common = {key: value for key, value in assigned.items() if not isinstance(value, dict)}
    return {**common, **assigned.get(optimizer, {})}


def _assignments(texts: list[str]) -> dict[str, Any]:
    """``["rho=1e-3", "adam.lr=1e-2"]`` as ``{"rho": "1e-3", "adam": {"lr": "1e-2"}}``."""
    values: dict[str, Any] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key or not value:
            raise UserError(f"--set {text!r}: give name=value, such as --set rho=1e-3 or --set adam.lr=1e-3")
        optimizer, dot, name = key.rpartition(".")
        (values.setdefault(optimizer, {}) if dot else values)[name if dot else key] = value
    return values


def _config_file(path: Path) -> dict[str, Any]:
    """Flat options from a TOML file; dashes and underscores in keys are the same."""
    options = {key.replace("-", "_"): value for key, value in read_toml(path).items()}
    if "json" in options:
        options["json_file"] = options.pop("json")
    valid = [name for name in [*SPEC_OPTIONS, *Output.model_fields] if name not in ("data", "model", "seed")]
    for key in options:
        if key not in valid:
            raise unknown(f"key in {path}:", key, valid)
    return options
