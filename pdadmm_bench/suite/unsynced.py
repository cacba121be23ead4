"""Finds the runs on disk that MLflow may lack: in results folders, in rows files, and in folders for unsent runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from pdadmm_bench.core import history
from pdadmm_bench.core.errors import UserError
from pdadmm_bench.core.rows import Row, read_rows
from pdadmm_bench.suite.results import RESULTS, Results
from pdadmm_bench.tracking.kept import KeptRun
from pdadmm_bench.tracking.unsent import UNSENT, Unsent


def kept_run(results: Results, key: str, row: Row, parent: str) -> KeptRun:
    """The run ``key`` of a suite's results, whose row is ``row``, under the parent with the id ``parent``."""
    return KeptRun(
        row=row,
        parent=parent,
        title=f"suite {row.get('env_suite')}",
        history=results.history_file(key),
        logs=Unsent(results.folder / UNSENT).logs(str(row["run_id"])),
        files=results.files(key),
    )


def gather(sources: Sequence[Path], everything: bool) -> tuple[list[Unsent], list[KeptRun]]:
    """The folders for unsent runs, and the runs in ``sources``, that have to be checked.

    Args:
        sources: rows files and results folders; without one, ``results/`` and ``mlflow-unsent/`` in the working folder.
        everything: also runs whose rows name a run in MLflow.

    Raises :class:`UserError` for a source that is neither a rows file nor a results folder.
    """
    folders, kept = [Unsent(Path(UNSENT))], []
    for source in sources or ([Path(RESULTS)] if Path(RESULTS).is_dir() else []):
        if source.is_file():
            kept += list(_of_file(source))
            continue
        suites = [folder for folder in (source, *sorted(source.glob("*/"))) if (folder / "runs").is_dir()]
        if not suites and source.name not in (RESULTS, UNSENT):
            raise UserError(f"{source} is neither a rows file nor a folder with the results of a suite")
        folders += [Unsent(source)] if source.name == UNSENT else [Unsent(folder / UNSENT) for folder in suites]
        kept += [run for folder in suites for run in _of_folder(folder)]
    wanted = [run for run in kept if everything or not run.in_mlflow]
    distinct = {folder.folder.resolve(): folder for folder in folders}
    # A skipped run never began, so MLflow has no run of it.
    return list(distinct.values()), [run for run in wanted if run.row["status"] != "skipped"]


def _of_file(path: Path) -> Iterator[KeptRun]:
    rows = read_rows(path)
    for row in rows:
        yield KeptRun(
            row=row, parent=str(rows[0]["run_id"]), title=f"rows of {path.name}", history=history.find(path, row),
            files=[path],
        )  # fmt: skip


def _of_folder(folder: Path) -> Iterator[KeptRun]:
    results = Results(folder)
    for path in sorted(folder.glob("runs/*.json")):
        row = results.read(path.stem)
        if row is not None:
            version = str(row.get("suite_version"))
            parent = results.parent(version) or f"{row.get('env_suite')}-{version}"
            yield kept_run(results, path.stem, row, parent)
