"""``pdadmm-bench info``: everything known about one dataset or optimizer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pdadmm_bench.cli import complete
from pdadmm_bench.core.errors import UserError, unknown

if TYPE_CHECKING:
    from pdadmm_bench.core.typed import Typed
    from pdadmm_bench.data.cards import Card
    from pdadmm_bench.report.table import Table


def info(
    name: Annotated[
        str,
        typer.Argument(
            help="a dataset, such as pubmed or pubmed-sbm, or an optimizer",
            autocompletion=complete.datasets_and_optimizers,
        ),
    ],
    dataset: Annotated[
        str | None,
        typer.Option(help="of an optimizer: the values of a run on this dataset", autocompletion=complete.datasets),
    ] = None,
    layers: Annotated[int, typer.Option(min=2, help="of that run")] = 10,
    hidden: Annotated[int, typer.Option(min=1, help="of that run")] = 256,
) -> None:
    """Show a dataset's card or an optimizer's hyperparameters."""
    from pdadmm_bench.cli.views.console import show
    from pdadmm_bench.data.catalog import TWIN, card_names, load_card
    from pdadmm_bench.optim import registry
    from pdadmm_bench.report.tables.listing import facts_table

    base = name.partition("[")[0].strip()
    if dataset is not None and base not in registry.names():
        raise UserError(f"--dataset {dataset}: it says on what an optimizer runs; {name!r} is no optimizer")
    if dataset is not None:
        show(_presets(base, dataset, layers, hidden))
        return
    if base in registry.names():
        lines = _optimizer(base, registry.get(base))
    elif base in card_names() or base.endswith(TWIN):
        lines = _card(load_card(name))
    else:
        raise unknown("dataset or optimizer", name, [*card_names(), *registry.names()])
    show(facts_table("info", lines))


def _card(card: Card) -> Iterator[tuple[str, str]]:
    yield "dataset", card.name
    yield "summary", card.summary
    arguments = ", ".join(f"{name}={value}" for name, value in card.loader.arguments.items())
    yield "loader", " ".join(filter(None, [card.loader.kind, card.loader.name, card.loader.dataset_class, arguments]))
    if card.generated:
        yield from _fields(type(card.loader.parameters), dict(card.loader.parameters))
    else:
        yield from ((key, f"{value:,}") for key, value in card.sizes)
    yield "split", _own_split(card)
    for kind, reason in card.split.refusals().items():
        yield f"--split {kind}", f"no: {reason}" if reason else "yes"
    if card.target is not None:
        yield "target", f"validation accuracy {card.target}"
    for key in ("version", "licence", "citation", "source"):
        yield key, getattr(card, key)
    for file in card.files:
        yield "file", f"{file.path}\n{file.sha256}"
    yield from _origins(card)


def _own_split(card: Card) -> str:
    """The split that a run takes unless told otherwise, with its counts."""
    counts = {part: getattr(card.split, part) for part in ("train", "val", "test")}
    each = f"{card.split.masks} times " if card.split.masks else ""
    return f"{card.split.kinds()[0]} {each}{', '.join(f'{n:,} {part}' for part, n in counts.items() if n)}".strip()


def _origins(card: Card) -> Iterator[tuple[str, str]]:
    if card.archive:
        yield "upstream", f"{card.archive.url}\n{card.archive.sha256}"
    elif card.upstream:
        yield "upstream", card.upstream
    else:
        for file in card.files:
            yield "upstream", card.url(file) or "unknown"
    if card.wheel:
        yield "wheel", f"{card.wheel.requirement}, {card.wheel.folder}\n{card.wheel.sha256}"


def _optimizer(name: str, optimizer: Any) -> Iterator[tuple[str, str]]:
    yield "summary", optimizer.summary
    yield from _fields(optimizer.Hyperparameters, {})
    yield "in a run", f"the values of its preset, not these defaults: pdadmm-bench info {name} --dataset cora"


def _presets(optimizer: str, dataset: str, layers: int, hidden: int) -> Table:
    """What every hyperparameter is in a run on ``dataset``, preset by preset."""
    from pdadmm_bench.core import presets
    from pdadmm_bench.core.spec import run_spec
    from pdadmm_bench.data.catalog import load_card
    from pdadmm_bench.optim import registry
    from pdadmm_bench.report.table import NOTHING, table_of_words

    load_card(dataset)
    settings = {"dataset": dataset, "layers": layers, "hidden": hidden, "optimizer": optimizer}
    own = {name: field.default for name, field in registry.get(optimizer).Hyperparameters.model_fields.items()}
    values: dict[str, dict[str, Any] | None] = {}
    for preset in presets.NAMES:
        try:
            values[preset] = own | presets.resolve(run_spec({**settings, "preset": preset}))
        except UserError:  # nothing is published for this network
            values[preset] = None
    lines = [[name, *(NOTHING if each is None else _short(each[name]) for each in values.values())] for name in own]
    title = f"{optimizer} on {dataset}, {layers} layers × {hidden}: values by preset; a run takes default"
    return table_of_words("presets", title, ["hyperparameter", *values], lines)


def _short(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _fields(model: type[Typed], values: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Name, value (else default), bounds and meaning of every field of ``model``."""
    for name, field in model.model_fields.items():
        default = "required" if field.is_required() else values.get(name, field.default)
        signs = {"gt": ">", "ge": "≥", "lt": "<", "le": "≤"}
        bounds = [
            f"{signs[kind]} {getattr(item, kind)}" for item in field.metadata for kind in signs if hasattr(item, kind)
        ]
        yield name, f"{default}  {field.description or ''}" + (f" ({', '.join(bounds)})" if bounds else "")
