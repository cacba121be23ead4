"""``pdadmm-bench card``: cards of datasets of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pdadmm_bench.core.errors import UserError

card = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Write the card of another dataset.")


@card.callback()
def _verbs() -> None:
    """Write the card of another dataset."""


@card.command("new", context_settings={"max_content_width": 120})
def new(
    name: Annotated[str, typer.Argument(help="of the dataset, as in --dataset NAME")],
    pyg: Annotated[
        str | None, typer.Option(metavar="CLASS", help="a class of torch_geometric.datasets: WikiCS")
    ] = None,
    argument: Annotated[
        list[str] | None, typer.Option(metavar="KEY=VALUE", help="of that class, such as name=DBLP; repeatable")
    ] = None,
    ogb: Annotated[str | None, typer.Option(metavar="NAME", help="a node-property dataset of OGB: ogbn-arxiv")] = None,
    from_file: Annotated[Path | None, typer.Option(metavar="FILE", help="a graph of your own, .pt or .npz")] = None,
    data_root: Annotated[
        Path | None, typer.Option(help="folder of the raw files of --pyg and --ogb; else PDADMM_BENCH_DATA")
    ] = None,
    cache: Annotated[Path | None, typer.Option(help="cache folder; else PDADMM_BENCH_CACHE")] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="folder of datasets/NAME.toml [default: --share, else this one]")
    ] = None,
) -> None:
    """Write datasets/NAME.toml with the sizes, the split and the checksums of the files at hand.

    Nothing is downloaded, and no code in a file is run. Licence and citation are yours to fill in.
    """
    from pdadmm_bench.core.files import check_writable, write_atomic
    from pdadmm_bench.core.options import assignments
    from pdadmm_bench.core.resources import VARIABLE, overlay
    from pdadmm_bench.data.cache import DATA_VARIABLE, cache_folder
    from pdadmm_bench.data.cache import data_root as checked_root

    if sum(source is not None for source in (pyg, ogb, from_file)) != 1:
        raise UserError("card new: give one of --pyg CLASS, --ogb NAME and --from-file FILE")
    if argument and pyg is None:
        raise UserError(f"--argument {argument[0]}: an argument is of the class of --pyg")
    folder = out or overlay() or Path()
    path = folder / "datasets" / f"{name}.toml"
    if path.exists():
        raise UserError(f"{path} exists already; remove it, or choose another name")
    check_writable(path)
    root = checked_root(data_root)
    if from_file is None and root is None:
        raise UserError(f"name the folder of the raw files: --data-root, or the variable {DATA_VARIABLE}")

    from pdadmm_bench.data import new_card

    cache = cache_folder(cache)
    if from_file is not None:
        made = new_card.card_of_file(name, from_file, cache)
    elif pyg is not None:
        values = {key: _typed(value) for key, value in assignments(argument or []).items()}
        made = new_card.card_of_pyg(name, pyg, values, root or Path(), cache)
    else:
        made = new_card.card_of_ogb(name, str(ogb), root or Path(), cache)
    write_atomic(path, made.text)
    sizes = ", ".join(f"{count:,} {what}" for what, count in made.card.sizes)
    typer.echo(f"{path}: {sizes}; split {made.card.split.kinds()[0]}")
    place = f"--share {folder} " if folder != overlay() else ""
    typer.echo(f"try it: pdadmm-bench {place}run --dataset {name} --layers 3 --hidden 64")
    if place:
        typer.echo(f"{VARIABLE}={folder.resolve()} makes every command find it")


def _typed(value: str) -> str | bool | int:
    """An argument as Python would have it: true, false, a whole number, or text."""
    if value in ("true", "false"):
        return value == "true"
    return int(value) if value.lstrip("-").isdecimal() else value
