"""What ``sync`` does: finds what may not be in MLflow, and says what became of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import typer
from rich.console import Console
from rich.progress import Progress

from pdadmm_bench.core.errors import UserError
from pdadmm_bench.core.rows import Row, read_rows
from pdadmm_bench.suite.results import FOLDER as RESULTS
from pdadmm_bench.suite.results import Results
from pdadmm_bench.tracking import store
from pdadmm_bench.tracking.spool import FOLDER, Spool
from pdadmm_bench.tracking.sync import Kept, Sync, check_store


def gather(sources: Sequence[Path], everything: bool) -> tuple[list[Spool], list[Kept]]:
    """The folders of records and the rows in ``sources`` that are to be looked at.

    Args:
        everything: also rows that name their run in MLflow.

    Raises :class:`UserError` for a source that is neither a rows file nor a results folder.
    """
    spools, kept = [Spool(Path(FOLDER))], []
    for source in sources or ([Path(RESULTS)] if Path(RESULTS).is_dir() else []):
        if source.is_file():
            kept += list(_of_file(source))
            continue
        folders = [folder for folder in (source, *sorted(source.glob("*/"))) if (folder / "runs").is_dir()]
        if not folders and source.name not in (RESULTS, FOLDER):
            raise UserError(f"{source} is neither a rows file nor a folder with the results of a suite")
        spools += [Spool(source)] if source.name == FOLDER else [Spool(folder / FOLDER) for folder in folders]
        kept += [one for folder in folders for one in _of_folder(folder)]
    wanted = [one for one in kept if everything or not one.row.get("mlflow_run_id")]
    distinct = {spool.folder.resolve(): spool for spool in spools}
    # A skipped run never began, and has none in MLflow.
    return list(distinct.values()), [one for one in wanted if one.row["status"] != "skipped"]


def _of_file(path: Path) -> Iterator[Kept]:
    rows = read_rows(path)
    for row in rows:
        yield Kept(row, [path], parent=str(rows[0]["run_id"]), title=f"rows of {path.name}")


def _of_folder(folder: Path) -> Iterator[Kept]:
    results = Results(folder)
    for path in sorted(folder.glob("runs/*.json")):
        row = results.read(path.stem, lambda line: None)
        if row is not None:
            yield Kept(row, results.files(path.stem), _parent(results, row), f"suite {row.get('env_suite')}")


def _parent(results: Results, row: Row) -> str:
    version = str(row.get("suite_version"))
    return results.parent(version) or f"{row.get('env_suite')}-{version}"


def upload(spools: Sequence[Spool], kept: Sequence[Kept], experiment: str, tracking_uri: str | None) -> int:
    """Upload them and say how many of them there were; returns the exit code."""
    uri = store.uri_or_default(tracking_uri)
    total = sum(len(spool.records()) for spool in spools) + len(kept)
    if not total:
        typer.echo("nothing to upload: no run here lacks one in MLflow")
        return 0
    if tracking_uri is None:
        check_store(spools, uri)
    stderr = Console(stderr=True)
    with Progress(console=stderr, transient=True, disable=not stderr.is_terminal) as bars:
        bar = bars.add_task(f"to {store.public(uri)}", total=total)
        outcome = Sync(
            uri, experiment, warn=lambda text: bars.console.print(f"warning: {text}", markup=False),
            progress=lambda done: bars.update(bar, completed=done),
        ).run(spools, kept)  # fmt: skip
    for line in outcome.failed:
        typer.echo(f"warning: not uploaded: {line}", err=True)
    said = [f"{outcome.uploaded} uploaded", f"{outcome.completed} completed", f"{outcome.there} there already"]
    if outcome.failed:
        said.append(f"{len(outcome.failed)} not uploaded")
    typer.echo(f"{', '.join(said)}: {store.public(uri)}")
    return int(bool(outcome.failed))
