"""The files of a report, in the formats that were asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from pdadmm_bench.core.errors import UserError, unknown
from pdadmm_bench.core.files import check_writable, write_atomic
from pdadmm_bench.core.rows import Row
from pdadmm_bench.report import render
from pdadmm_bench.report.assemble import Report
from pdadmm_bench.report.figures.picture import Picture
from pdadmm_bench.report.formats import PICTURES, TABLES

FORMATS = (*TABLES, *PICTURES)


def formats_of(names: Sequence[str]) -> list[str]:
    """The formats that ``names`` ask for, in the order of :data:`FORMATS`; a name may be a list with commas, or all.

    Raises :class:`UserError` for a name that is no format.
    """
    for text in names:
        if not all(part.strip() for part in text.split(",")):
            raise UserError(f"--format {text!r}: give formats with commas between, such as markdown,png")
    asked = [part.strip() for name in names for part in name.split(",")]
    for name in asked:
        if name not in (*FORMATS, "all"):
            raise unknown("format", name, (*FORMATS, "all"))
    return list(FORMATS) if "all" in asked else [name for name in FORMATS if name in asked]


def write_report(
    folder: Path, formats: Sequence[str], title: str, rows: Sequence[Row], report: Report,
    pictures: Mapping[str, Picture], missing: Sequence[str],
) -> Iterator[Path]:  # fmt: skip
    """Write ``report`` into ``folder`` in all ``formats`` except that of the terminal; yields the path of each file.

    Args:
        title: of the HTML page.
        rows: those that the report was made from; the page names their number, dates and versions.
        pictures: by the name of their file without its suffix.
        missing: what could not be made, for the page.

    Raises :class:`UserError` when a file cannot be written.
    """
    for name in formats:
        if name == "markdown":
            yield _text(folder / "report.md", "\n".join(render.markdown(table) for table in report.tables))
        elif name == "csv":
            for table in report.tables:
                yield _text(folder / f"{table.name}.csv", render.comma_separated(table))
        elif name == "latex":
            for table in report.tables:
                yield _text(folder / f"{table.name}.tex", render.latex(table))
        elif name == "html":
            from pdadmm_bench.report.page import page

            yield _text(folder / "report.html", page(title, rows, report, pictures, missing))
    kinds = [kind for kind in PICTURES if kind in formats]
    if kinds:
        from pdadmm_bench.report.figures.draw import figure

        for stem, picture in pictures.items():
            drawn = figure(picture)
            for kind in kinds:
                path = folder / f"{stem}.{kind}"
                check_writable(path)
                drawn.savefig(path, metadata={"Date": None} if kind == "svg" else None)
                yield path


def _text(path: Path, text: str) -> Path:
    write_atomic(path, text)
    return path
