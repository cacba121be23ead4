"""``pdadmm-bench clean``: what the cache holds, and its removal. Results and MLflow stores are not in it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pdadmm_bench.core.errors import unknown
from pdadmm_bench.core.files import check_folder
from pdadmm_bench.data.inventory import KINDS, entries, num_bytes, remove

ALL = "all"


def clean(
    kinds: Annotated[list[str] | None, typer.Argument(help=f"what to remove: {', '.join(KINDS)}, or {ALL}")] = None,
    cache: Path | None = None,
) -> None:
    """Show what the cache holds, and remove the kinds that are named.

    Everything in it is fetched or computed again when it is needed. Results, reports, checkpoints and MLflow stores are
    elsewhere and stay.
    """
    from pdadmm_bench.cli.views.console import show
    from pdadmm_bench.data.cache import cache_folder
    from pdadmm_bench.report.tables.listing import cache_table

    chosen = list(KINDS) if kinds and ALL in kinds else list(kinds or [])
    for kind in chosen:
        if kind not in KINDS:
            raise unknown("kind of files in the cache:", kind, [*KINDS, ALL])
    folder = cache_folder(cache)
    check_folder(folder)
    found = {kind: entries(folder, kind) for kind in KINDS}
    lines = []
    for kind, what in KINDS.items():
        removed = " (removed)" if kind in chosen and found[kind] else ""
        lines.append((kind, f"{what}{removed}", sum(map(num_bytes, found[kind]))))
        if kind in chosen:
            for path in found[kind]:
                remove(path)
    show(cache_table(lines))
    if not chosen:
        typer.echo(f"in {folder}; 'pdadmm-bench clean features' removes those, 'clean {ALL}' everything", err=True)
