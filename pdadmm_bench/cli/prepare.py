"""``pdadmm-bench prepare``: fetch, verify and preprocess ahead of the runs, for instance where there is a network."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from pdadmm_bench.core.errors import DataError
from pdadmm_bench.core.typed import build


def prepare(
    datasets: Annotated[list[str], typer.Argument(help="cards, twins (pubmed-sbm) or sbm[nodes=2000,...]")],
    hops: Annotated[int, typer.Option(help="K of [x, Ãx, …, Ã^K x]")] = 4,
    normalize: Annotated[bool, typer.Option("--normalize/--no-normalize", help="row-normalise x")] = False,
    split: Annotated[str, typer.Option(help="auto, public or random")] = "auto",
    split_seed: Annotated[int, typer.Option(help="seed of the random split")] = 0,
    data_root: Annotated[
        Path | None, typer.Option(help="folder laid out as PyG roots, only read (default: PDADMM_BENCH_DATA)")
    ] = None,
    cache: Annotated[Path | None, typer.Option(help="default: PDADMM_BENCH_CACHE, else the platform's")] = None,
    offline: Annotated[bool, typer.Option("--offline", help="never touch the network")] = False,
) -> None:
    """Fetch, verify and preprocess datasets, so that a later run starts at once, offline too."""
    from pdadmm_bench.core.spec import DataSpec
    from pdadmm_bench.data.load import load_problem

    options = {"hops": hops, "normalize": normalize, "split": split, "split_seed": split_seed}
    failed: list[str] = []
    for dataset in datasets:
        spec = build(DataSpec, {"dataset": dataset, **options}, "option")
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
