"""The report page of results."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pdadmm_bench.core.errors import UserError
from pdadmm_bench.core.rows import Row
from pdadmm_bench.library.results import rows_of
from pdadmm_bench.report.assemble import assemble, pictures
from pdadmm_bench.report.write import formats_of, write_report


def report(
    results: Sequence[Row] | str | Path,
    path: str | Path = "report",
    *,
    formats: str = "html",
    reference: str | None = None,
    published: bool = False,
    title: str = "pdadmm-bench",
) -> list[Path]:
    """Write tables, pictures and a page that can be mailed, as ``pdadmm-bench report`` does; returns the files.

    Args:
        results: results, rows, or the name of a source of rows.
        path: the folder that the files go to.
        formats: ``html``, ``markdown``, ``csv``, ``latex``, ``png``, ``svg``, several with commas between, or ``all``.
        reference: the optimizer whose single worker speedups are relative to; default: the same optimizer.
        published: add published numbers beside ours, with their source.
        title: of the page.

    Raises :class:`~pdadmm_bench.core.errors.UserError` for an unknown format and a folder that cannot be written.
    """
    found = rows_of(results)
    if not found:
        raise UserError("there are no results to report")
    made = assemble(found.rows, [], reference, published, histories=found.histories)
    drawn = pictures(found.rows, found.histories, made.points)
    return list(write_report(Path(path), formats_of([formats]), title, found.rows, made, drawn, made.missing))
