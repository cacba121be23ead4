"""``pdadmm-bench run``: train optimizers on one dataset, over seeds, and track what happens.

Meaning, default and bounds of each option are in the model that it fills: :mod:`pdadmm_bench.core.options` or
:mod:`pdadmm_bench.core.spec`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pdadmm_bench.cli import complete


def run(
    dataset: Annotated[str | None, typer.Option(autocompletion=complete.datasets)] = None,
    optimizer: Annotated[list[str] | None, typer.Option(autocompletion=complete.optimizers)] = None,
    layers: int | None = None,
    hidden: int | None = None,
    init: str | None = None,
    hops: int | None = None,
    normalize: bool | None = None,
    feature_scale: str | None = None,
    split: str | None = None,
    split_seed: int | None = None,
    train_per_class: int | None = None,
    num_val: int | None = None,
    num_test: int | None = None,
    train_fraction: float | None = None,
    stratified: bool | None = None,
    split_index: int | None = None,
    reduce: str | None = None,
    warm_start: str | None = None,
    deepening: str | None = None,
    iterations: int | None = None,
    batch_size: int | None = None,
    seeds: str | None = None,
    preset: str | None = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="hyperparameter rho=1e-3, or adam.lr=1e-3; repeatable")
    ] = None,
    device: str | None = None,
    gpus: Annotated[int | None, typer.Option("--workers", "--gpus")] = None,
    mesh: str | None = None,
    partition: str | None = None,
    wire: str | None = None,
    schedule: str | None = None,
    microbatches: str | None = None,
    dist_timeout: float | None = None,
    threads: int | None = None,
    precision: str | None = None,
    compile: bool | None = None,
    cuda_graphs: bool | None = None,
    deterministic: bool | None = None,
    target: float | None = None,
    time_limit: float | None = None,
    eval_every: int | None = None,
    checkpoint: Path | None = None,
    checkpoint_every: float | None = None,
    experiment: str | None = None,
    tracking_uri: str | None = None,
    json_file: Annotated[Path | None, typer.Option("--json")] = None,
    data_root: Path | None = None,
    cache: Path | None = None,
    offline: bool | None = None,
    config: Annotated[Path | None, typer.Option(help="TOML file with the same keys; the command line wins")] = None,
    dry_run: bool | None = None,
    quiet: bool | None = None,
) -> None:
    """Train optimizers on one dataset, tracked in MLflow.

    Precedence: command line, then --config, then the preset (hyperparameters only), then defaults. Every optimizer of a
    seed starts from the same weights.
    """
    # This has to come first: at this point the local names are the options and nothing else.
    given = {name: value for name, value in locals().items() if value is not None and name not in ("config", "set_")}

    from pdadmm_bench.cli.early import check_names, check_output
    from pdadmm_bench.core.options import assignments, config_file, overlay
    from pdadmm_bench.optim.hyperparameters import check as check_hyperparameters
    from pdadmm_bench.training.planned import plan

    options = {**(config_file(config) if config else {}), **given}
    options["set"] = overlay(options.get("set", {}), assignments(set_ or []))
    output, specs = plan(options)
    if not output.dry_run:
        check_output(output)
    check_names(datasets=[specs[0].data.dataset])
    for spec in {spec.optimizer: spec for spec in specs}.values():
        check_hyperparameters(spec)
    if output.dry_run:
        from pdadmm_bench.cli.views.run_plan import show_plan

        show_plan(specs)
        return
    from pdadmm_bench.cli.views.live import LiveView
    from pdadmm_bench.core.rows import exit_code
    from pdadmm_bench.tracking.session import MlflowTracking
    from pdadmm_bench.training.session import train_specs

    view = LiveView(specs=specs, quiet=output.quiet)
    raise typer.Exit(exit_code(train_specs(specs, output, view, MlflowTracking())))
