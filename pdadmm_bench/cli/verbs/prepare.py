"""``pdadmm-bench prepare``: fetch, verify and preprocess ahead of the runs, for instance where there is a network."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from pdadmm_bench.cli import complete
from pdadmm_bench.core.errors import DataError


def prepare(
    datasets: Annotated[
        list[str],
        typer.Argument(help="cards, twins (pubmed-sbm) or sbm[nodes=2000,...]", autocompletion=complete.datasets),
    ],
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
    data_root: Path | None = None,
    cache: Path | None = None,
    offline: bool = False,
) -> None:
    """Fetch, verify and preprocess datasets ahead of the runs.

    A later run with the same options starts at once, offline too.
    """
    # This has to come first: at this point the local names are the options and nothing else.
    given = {name: value for name, value in locals().items() if value is not None}

    from pdadmm_bench.core.spec import DataSpec
    from pdadmm_bench.core.typed import build
    from pdadmm_bench.data.catalog import load_card

    options = {name: value for name, value in given.items() if name in DataSpec.model_fields}
    specs = [build(DataSpec, {"dataset": dataset, **options}, "option") for dataset in datasets]
    for spec in specs:  # all, before the first is fetched
        load_card(spec.dataset)
    from pdadmm_bench.data.load import load_problem

    failed: list[str] = []
    for spec in specs:
        start = time.perf_counter()
        try:
            problem = load_problem(
                spec, data_root=data_root, cache=cache, offline=offline, report=lambda line: typer.echo(line, err=True)
            )
        except DataError as error:
            failed.append(str(error))
            continue
        facts = problem.facts
        counts = "/".join(str(facts[f"dataset_{part}_count"]) for part in problem.parts())
        origin = "cached" if facts["dataset_cache_hit"] else f"from {facts['dataset_source']}"
        seconds = time.perf_counter() - start
        typer.echo(f"{problem.name}: {counts} rows × {problem.num_features:,} features, {origin}, {seconds:.1f} s")
    if failed:
        raise DataError("\n".join(failed))
