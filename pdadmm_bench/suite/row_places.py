"""Where the row of a run is looked for, by its id; nothing here imports torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pdadmm_bench.core.errors import UserError
from pdadmm_bench.core.rows import Row, read_rows
from pdadmm_bench.suite.results import RESULTS, Results
from pdadmm_bench.tracking import store
from pdadmm_bench.tracking.read import read_run


@dataclass(frozen=True)
class RowPlaces:
    """Where rows are looked for."""

    rows: Path | None
    """A rows file."""
    results: Path | None
    """The results folder of a suite. If both are None: all results folders here and the MLflow store."""
    tracking_uri: str | None


def find_row(run_id: str, places: RowPlaces) -> Row:
    """The row whose ``run_id`` or ``mlflow_run_id`` begins with ``run_id``; raises :class:`UserError` if none does."""
    if places.rows:
        rows, where = read_rows(places.rows), str(places.rows)
    elif places.results:
        rows, where = Results(places.results).every_row(), str(places.results)
        if not rows:
            raise UserError(f"{places.results} is not a results folder with rows")
    else:
        rows = [row for path in sorted(Path(RESULTS).glob("*/")) for row in Results(path).every_row()]
        where = f"{RESULTS}/ and the MLflow store {store.public(store.uri_or_default(places.tracking_uri))}"
    ids = ("run_id", "mlflow_run_id")
    found = {row["run_id"]: row for row in rows if any(str(row.get(name) or "").startswith(run_id) for name in ids)}
    if len(found) > 1:
        some = ", ".join(list(found)[:3])
        raise UserError(f"{run_id!r} is the start of {len(found)} run ids ({some}, …): give more of it")
    if found:
        return next(iter(found.values()))
    if not places.rows and not places.results and (tracked := read_run(run_id, places.tracking_uri)) is not None:
        return tracked
    raise UserError(f"no row with the run id {run_id!r} in {where}; --rows FILE or --results DIR names another place")
