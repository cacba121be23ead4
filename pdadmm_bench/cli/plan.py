"""What ``--dry-run`` shows: every run with its network, hyperparameters and size, before anything starts."""

from __future__ import annotations

from rich.table import Table
from rich.text import Text

from pdadmm_bench.cli import console
from pdadmm_bench.core.spec import RunSpec
from pdadmm_bench.data.cards import load_card
from pdadmm_bench.models import mlp
from pdadmm_bench.runner import choose_device, make_optimizer


def show_plan(specs: list[RunSpec]) -> None:
    """Print the runs as a table; raises as the runs themselves would for what is wrong with them."""
    count = "1 run" if len(specs) == 1 else f"{len(specs)} runs"
    title = f"{count} on {specs[0].data.dataset} ({choose_device(specs[0].device)}), nothing started"
    table = Table(title=Text(title))
    for heading in ("optimizer", "seed", "layers × units", "parameters", "workers", "iterations", "hyperparameters"):
        table.add_column(heading)
    for spec in specs:
        optimizer = make_optimizer(spec)
        card = load_card(spec.data.dataset)
        sizes = mlp.widths(spec.model, card.sizes.features * (spec.data.hops + 1), card.sizes.classes)
        values = optimizer.hyperparameters.model_dump()
        reason = optimizer.supports(spec)
        table.add_row(
            spec.optimizer,
            str(spec.seed),
            f"{spec.model.layers} × {spec.model.hidden}",
            f"{mlp.num_parameters(sizes):,}",
            str(spec.gpus),
            str(spec.iterations),
            f"skip: {reason}" if reason else " ".join(f"{name}={_short(value)}" for name, value in values.items()),
        )
    console.stdout().print(table)


def _short(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
