"""``pdadmm-bench list``: the names one can ask for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from pdadmm_bench.core.errors import unknown

if TYPE_CHECKING:
    from pdadmm_bench.report.table import Table


def list_(what: Annotated[str, typer.Argument(help="datasets or optimizers")] = "datasets") -> None:
    """List the datasets or the optimizers."""
    from pdadmm_bench.cli.views.console import show

    tables = {"datasets": _datasets, "optimizers": _optimizers}
    if what not in tables:
        raise unknown("list", what, tables)
    show(tables[what]())


def _datasets() -> Table:
    from pdadmm_bench.data.catalog import card_names, load_card
    from pdadmm_bench.report.tables.listing import datasets_table

    rows = []
    for card in map(load_card, card_names()):
        sizes = card.sizes
        counts = (sizes.nodes, sizes.edges, sizes.features, sizes.classes)
        rows.append((card.name, *counts, ", ".join(card.split.kinds()), card.loader.kind))
    return datasets_table(rows)


def _optimizers() -> Table:
    from pdadmm_bench.optim import registry
    from pdadmm_bench.report.tables.listing import optimizers_table

    return optimizers_table((name, registry.get(name).summary) for name in registry.names())
