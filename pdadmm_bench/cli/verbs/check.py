"""``pdadmm-bench check``: is this machine quiet enough to measure on?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def check(
    cache: Annotated[Path | None, typer.Option(help="cache folder; else PDADMM_BENCH_CACHE")] = None,
) -> None:
    """Say whether this machine is quiet enough to measure on.

    It measures the spread of a known product, and other load, and exits with 1 where the machine is not quiet. The rows
    of the next hour keep the answer (env_quiet).
    """
    from pdadmm_bench.core import quiet
    from pdadmm_bench.data.cache import cache_folder
    from pdadmm_bench.timing.quiet import SECONDS, WIDTH, measure

    typer.echo(f"multiplying {WIDTH} × {WIDTH} matrices on one core for {SECONDS:g} s", err=True)
    found = measure()
    quiet.keep(cache_folder(cache), found)
    typer.echo(found.answer)
    for problem in found.problems():
        typer.echo(f"  {problem}; times measured now are not to be quoted", err=True)
    if found.problems():
        raise typer.Exit(1)
