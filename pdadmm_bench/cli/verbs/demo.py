"""``pdadmm-bench demo``: from nothing to a report page, without a network, in less than a minute."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

RUNS: dict[str, Any] = {
    "dataset": "sbm[nodes=1000,classes=4,features=32,homophily=0.6]", "hops": 2, "split": "fraction",
    "optimizer": ["pdadmm", "sgd", "adadelta"], "seeds": 7, "layers": 4, "hidden": 32, "iterations": 40,
    "gpus": 2, "threads": 1, "device": "cpu", "preset": "default",
}  # fmt: skip
"""What is run: the generated graph, three optimizers and two workers. Seven seeds can give a verdict."""


def demo(
    out: Annotated[Path, typer.Option(metavar="DIR", help="folder of the rows and the page")] = Path("demo"),
    open_page: Annotated[bool, typer.Option("--open/--no-open", help="open the page in a browser")] = True,
    quiet: Annotated[bool, typer.Option("--quiet", help="no progress bar")] = False,
) -> None:
    """Train three optimizers on a generated graph, over two workers, and open the report page.

    It needs no network and no data, writes below DIR only, and tracks nothing. The first lines say which command does
    the same, with options to change.
    """
    from pdadmm_bench.cli.views.live import LiveView
    from pdadmm_bench.cli.views.report import ReportOptions, run_report
    from pdadmm_bench.core.files import check_writable
    from pdadmm_bench.core.rows import exit_code
    from pdadmm_bench.tracking.ui import open_in_browser
    from pdadmm_bench.training.planned import plan
    from pdadmm_bench.training.session import NoTracking, train_specs

    rows, page = out / "rows.json", out / "report.html"
    check_writable(rows)
    output, specs = plan({**RUNS, "json_file": rows, "quiet": quiet})
    typer.echo(f"the same, with options to change, tracked in MLflow:\n  {command(rows)}", err=True)
    view = LiveView(specs=specs, quiet=quiet or not sys.stderr.isatty())
    code = exit_code(train_specs(specs, output, view, NoTracking()))
    if code != 130:  # not after Ctrl-C
        run_report(ReportOptions([str(rows)], ["html"], out, None, False, None))
        if open_page and not open_in_browser(page.resolve().as_uri()):
            typer.echo(f"open it in a browser: {page.resolve().as_uri()}")
    raise typer.Exit(code)


def command(rows: Path) -> str:
    """The command line of ``run`` that makes the same runs."""
    from pdadmm_bench.core.names import setting_word

    words = ["pdadmm-bench run"]
    for setting, value in RUNS.items():
        name = setting_word(setting)
        for each in value if isinstance(value, list) else [value]:
            words.append(f"--{name} '{each}'" if "[" in str(each) else f"--{name} {each}")
    return " ".join([*words, f"--json {rows}"])
