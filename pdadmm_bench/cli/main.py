"""The ``pdadmm-bench`` command: registers the verbs, and turns an error into one line and an exit code."""

from __future__ import annotations

import errno
import io
import os
import signal
import sys
from collections.abc import Callable
from typing import Annotated

import typer

from pdadmm_bench import __version__
from pdadmm_bench.cli.command import ModelCommand, VerbGroup
from pdadmm_bench.cli.verbs.baseline import baseline
from pdadmm_bench.cli.verbs.card import card
from pdadmm_bench.cli.verbs.check import check
from pdadmm_bench.cli.verbs.clean import clean
from pdadmm_bench.cli.verbs.compare import compare
from pdadmm_bench.cli.verbs.demo import demo
from pdadmm_bench.cli.verbs.doctor import doctor
from pdadmm_bench.cli.verbs.info import info
from pdadmm_bench.cli.verbs.list import list_
from pdadmm_bench.cli.verbs.predict import predict
from pdadmm_bench.cli.verbs.prepare import prepare
from pdadmm_bench.cli.verbs.profile import profile
from pdadmm_bench.cli.verbs.regress import regress
from pdadmm_bench.cli.verbs.report import report
from pdadmm_bench.cli.verbs.rerun import rerun
from pdadmm_bench.cli.verbs.run import run
from pdadmm_bench.cli.verbs.scale import scale
from pdadmm_bench.cli.verbs.selftest import selftest
from pdadmm_bench.cli.verbs.suite import suite
from pdadmm_bench.cli.verbs.sync import sync
from pdadmm_bench.cli.verbs.ui import ui
from pdadmm_bench.core import resources
from pdadmm_bench.core.errors import Unreachable, UserError, short, unknown
from pdadmm_bench.report.formats import TABLES, TABLES_VARIABLE

DEBUG = "PDADMM_BENCH_DEBUG"

# No markup in the help: sbm[nodes=2000] would lose its brackets, and importing rich would take half of the start time.
app = typer.Typer(cls=VerbGroup, no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode=None)
VERBS: dict[str, Callable[..., None]] = {
    "run": run, "suite": suite, "rerun": rerun, "list": list_, "info": info, "prepare": prepare, "doctor": doctor,
    "regress": regress, "clean": clean,
}  # fmt: skip
for name, verb in VERBS.items():
    app.command(name, cls=ModelCommand, context_settings={"max_content_width": 120})(verb)
# The options of these are no settings of a run.
for verb in (demo, ui, check, scale, predict, compare, profile, report, sync, selftest):
    app.command(context_settings={"max_content_width": 120})(verb)
app.add_typer(baseline, name="baseline")
app.add_typer(card, name="card")


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"pdadmm-bench {__version__}")
        raise typer.Exit


@app.callback()
def options(
    share_dir: Annotated[
        str | None, typer.Option("--share", help="folder laid over the shipped datasets/, runners/ and reports/")
    ] = None,
    tables: Annotated[
        str | None,
        typer.Option(metavar="FORMAT", help="print tables as markdown, csv, latex or html"),
    ] = None,
    debug: Annotated[bool, typer.Option("--debug", help="show tracebacks; may stand anywhere")] = False,
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="print it")] = False,
) -> None:
    """Accuracy and speed of layer-parallel, gradient-free ADMM next to backpropagation on graph-augmented MLPs."""
    # --debug is here for the help only. main removes it from the arguments, because it may also stand after the verb.
    if share_dir:
        os.environ[resources.VARIABLE] = share_dir
    if tables is not None:
        if tables not in TABLES:
            raise unknown("format of tables (--tables)", tables, TABLES)
        os.environ[TABLES_VARIABLE] = tables


def _interrupt(number: int, frame: object) -> None:
    """Handle Ctrl-C and SIGTERM alike: a job that a cluster or a container ends leaves the same records behind."""
    if getattr(getattr(sys.modules.get("torch"), "__spec__", None), "_initializing", False):
        os._exit(130)  # no run has begun, and torch would catch the exception and go on with numpy half imported
    raise KeyboardInterrupt


def main() -> None:
    """Run the command line in ``sys.argv``."""
    signal.signal(signal.SIGTERM, _interrupt)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # else a parent process set it to be ignored
        signal.signal(signal.SIGINT, _interrupt)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a locale without ± must not lose a result
    if "--debug" in sys.argv:
        os.environ[DEBUG] = "1"
    try:
        app(args=[argument for argument in sys.argv[1:] if argument != "--debug"], prog_name="pdadmm-bench")
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        if os.environ.get(DEBUG):
            raise
        if isinstance(error, UserError):
            text, code = str(error), error.exit_code
        elif isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG:  # of whatever was given as a path
            text, code = f"the file name {short(str(error.filename))} is too long", UserError.exit_code
        elif isinstance(error, Unreachable):
            text, code = f"lost a worker ({error})", 1
        else:
            what = f"{type(error).__name__}: {error}".rstrip(": ")
            text, code = f"{what} (not expected; pdadmm-bench --debug shows where)", 1
        worker = (
            f"worker {os.environ['RANK']}: " if "RANK" in os.environ else ""
        )  # each of torchrun's workers says its own
        typer.secho(f"error: {worker}{text}", fg="red", err=True)
        sys.exit(code)
