"""``pdadmm-bench list``: the names one can ask for."""

from __future__ import annotations

from typing import Annotated

import typer

from pdadmm_bench.core.errors import unknown


def list_(what: Annotated[str, typer.Argument(help="datasets or optimizers")] = "datasets") -> None:
    """List the datasets or the optimizers."""
    from rich.table import Table
    from rich.text import Text

    from pdadmm_bench.cli.views import console

    tables = {"datasets": _datasets, "optimizers": _optimizers}
    if what not in tables:
        raise unknown("list", what, tables)
    header, rows = tables[what]()
    table = Table(box=None, pad_edge=False, header_style="bold")
    for index, (name, right) in enumerate(header.items()):
        last = index == len(header) - 1
        table.add_column(name, justify="right" if right else "left", no_wrap=not last, overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))  # Text: a name in brackets is not markup
    console.stdout().print(table)


Rows = tuple[dict[str, bool], list[tuple[str, ...]]]


def _datasets() -> Rows:
    from pdadmm_bench.data.catalog import card_names, load_card

    rows = []
    for card in map(load_card, card_names()):
        sizes = card.sizes
        counts = [f"{count:,}" for count in (sizes.nodes, sizes.edges, sizes.features, sizes.classes)]
        rows.append((card.name, *counts, card.split.kind, card.loader.kind))
    numbers = dict.fromkeys(("nodes", "edges", "features", "classes"), True)
    return {"dataset": False, **numbers, "split": False, "loader": False}, rows


def _optimizers() -> Rows:
    from pdadmm_bench.optim import registry

    return {"optimizer": False, "": False}, [(name, registry.get(name).summary) for name in registry.names()]
