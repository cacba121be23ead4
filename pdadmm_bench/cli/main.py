"""The ``pdadmm-bench`` command: registers the verbs, and turns user errors into one line and an exit code."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from pdadmm_bench import __version__
from pdadmm_bench.cli.doctor import doctor
from pdadmm_bench.cli.info import info
from pdadmm_bench.cli.list import list_
from pdadmm_bench.cli.prepare import prepare
from pdadmm_bench.cli.run import run
from pdadmm_bench.cli.ui import ui
from pdadmm_bench.core import share
from pdadmm_bench.core.errors import UserError

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode="rich")
app.command()(run)
app.command("list")(list_)
for verb in (info, prepare, doctor, ui):
    app.command()(verb)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"pdadmm-bench {__version__}")
        raise typer.Exit


@app.callback()
def options(
    share_dir: Annotated[
        str | None, typer.Option("--share", help="folder laid over the shipped datasets/, runners/ and reports/")
    ] = None,
    debug: Annotated[bool, typer.Option("--debug", help="show tracebacks")] = False,
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="print it")] = False,
) -> None:
    """Accuracy and speed of layer-parallel, gradient-free ADMM next to backpropagation on graph-augmented MLPs."""
    if share_dir:
        os.environ[share.VARIABLE] = share_dir
    if debug:
        os.environ[DEBUG] = "1"


DEBUG = "PDADMM_BENCH_DEBUG"


def main() -> None:
    """Entry point of the console script."""
    try:
        app()
    except UserError as error:
        if os.environ.get(DEBUG):
            raise
        typer.secho(f"error: {error}", fg="red", err=True)
        sys.exit(error.exit_code)
