"""``pdadmm-bench profile``: an iteration beside its matrix products, Adam and the reference; or a speed file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pdadmm_bench.cli import complete
from pdadmm_bench.core.errors import UserError, unknown

if TYPE_CHECKING:
    from pdadmm_bench.core.rows import Row
    from pdadmm_bench.timing.speed_file.entry import SpeedEntry

SHAPE = ("dataset", "rows", "features", "classes", "layers", "hidden", "init", "optimizer", "preset", "precision",
         "threads", "device", "compile", "cuda_graphs", "deterministic", "adam", "reference")  # fmt: skip


def profile(
    file: Annotated[str | None, typer.Argument(help="a speed file, such as runners/speed.toml")] = None,
    dataset: Annotated[
        str | None, typer.Option(help="train on this dataset's rows", autocompletion=complete.datasets)
    ] = None,
    rows: Annotated[int | None, typer.Option(help="or on generated data: training rows")] = None,
    features: Annotated[int | None, typer.Option(help="generated data: input features [default: 640]")] = None,
    classes: Annotated[int | None, typer.Option(help="generated data: classes [default: 40]")] = None,
    layers: Annotated[int | None, typer.Option(help="linear layers [default: 10]")] = None,
    hidden: Annotated[int | None, typer.Option(help="units per hidden layer [default: 256]")] = None,
    init: Annotated[str | None, typer.Option(help="normal, he or identity [default: he]")] = None,
    optimizer: Annotated[
        str | None, typer.Option(help="what is profiled [default: pdadmm]", autocompletion=complete.optimizers)
    ] = None,
    preset: Annotated[str | None, typer.Option(help="its hyperparameters: default, published or none")] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", help="hyperparameter rho=1e-3; repeatable")] = None,
    precision: Annotated[str | None, typer.Option(help="of matrix products: fp32, tf32 or bf16")] = None,
    threads: Annotated[int | None, typer.Option(help="CPU threads [default: as many as cores]")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu or cuda")] = None,
    compile: Annotated[
        bool | None,
        typer.Option("--compile/--no-compile", help="fuse elementwise updates by a compiler [default: if it pays]"),
    ] = None,
    cuda_graphs: Annotated[
        bool | None, typer.Option("--cuda-graphs", help="replay iterations from a CUDA graph")
    ] = None,
    deterministic: Annotated[bool | None, typer.Option("--deterministic", help="never batch equal layers")] = None,
    adam: Annotated[bool | None, typer.Option("--adam/--no-adam", help="measure Adam beside it")] = None,
    reference: Annotated[
        bool | None, typer.Option("--reference/--no-reference", help="measure the literal reference beside it")
    ] = None,
    budget: Annotated[
        float, typer.Option(min=0, help="seconds the reference may take in all, else it is left out")
    ] = 120,
    repeats: Annotated[int | None, typer.Option(min=1, help="repetitions [default: 15, or the file's]")] = None,
    only: Annotated[list[str] | None, typer.Option(help="of a speed file: this entry; repeatable")] = None,
    data_root: Annotated[Path | None, typer.Option(help="folder of raw graphs")] = None,
    cache: Annotated[Path | None, typer.Option(help="cache folder")] = None,
    offline: Annotated[bool, typer.Option("--offline", help="never touch the network")] = False,
    json_file: Annotated[Path | None, typer.Option("--json", help="write the rows to this file")] = None,
    plot: Annotated[Path | None, typer.Option(help="draw the figures with targets into this PNG, SVG or PDF")] = None,
) -> None:
    """Measure an iteration beside its matrix products, Adam's and the literal reference's.

    All are measured in turn. With a file, every entry of it, beside its targets. A missed target is reported; it fails
    nothing.
    """
    # This has to come first: at this point the local names are the options and nothing else.
    given = {name: value for name, value in locals().items() if name in SHAPE and value is not None}

    from pdadmm_bench.cli.early import check_names

    check_names(filter(None, [optimizer]), [dataset])

    from pdadmm_bench.core.files import check_writable
    from pdadmm_bench.core.options import assignments
    from pdadmm_bench.core.rows import exit_code, write_rows
    from pdadmm_bench.timing.speed_file.file import check_here, find, read, single

    if file is None:
        if only:
            raise UserError("--only chooses among the entries of a speed file; name the file")
        entries = [single({**given, "set": assignments(set_ or [])})]
    else:
        if given or set_:
            option = f"--{next(iter(given), 'set')}"
            raise UserError(f"{option} does not go with a speed file, whose entries say what is measured")
        entries = _chosen(read(find(file)), only or [])
    if repeats is not None:
        entries = [entry.model_copy(update={"repeats": repeats}) for entry in entries]
    if json_file:
        check_writable(json_file)

    from pdadmm_bench.cli.views.profile import ProfileProgress, check_plot, show_profile
    from pdadmm_bench.data.cache import using_cache
    from pdadmm_bench.timing.speed_file.run import ProblemLoader, measure_entries

    if plot:
        check_plot(plot)
    check_here(entries)

    def keep(so_far: Sequence[Row]) -> None:
        if json_file:
            write_rows(json_file, so_far)

    load = ProblemLoader(data_root, cache, offline)
    with using_cache(cache), ProfileProgress(len(entries)) as progress:
        found = measure_entries(entries, load, budget, progress, keep, strict=file is None)
    show_profile(found, plot, detailed=file is None)
    raise typer.Exit(exit_code(found))


def _chosen(entries: list[SpeedEntry], names: list[str]) -> list[SpeedEntry]:
    """The entries called ``names``, in the order of the file; all, if none is named."""
    known = [entry.name for entry in entries]
    for name in names:
        if name not in known:
            raise unknown("entry", name, known)
    return [entry for entry in entries if not names or entry.name in names]
