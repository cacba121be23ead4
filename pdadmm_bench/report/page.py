"""A report as one HTML file. Every table and plot is in it, so that it can be sent by mail.

It begins with the answer: sentences made from verdicts, one picture, machine and protocol. All else is in sections that
a reader opens. Filters act on tables and plots alike.
"""

from __future__ import annotations

import base64
import gzip
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pdadmm_bench.core.names import short_names
from pdadmm_bench.core.rows import Row
from pdadmm_bench.report.answer import about, sentences
from pdadmm_bench.report.assemble import Report
from pdadmm_bench.report.figures.draw import svg
from pdadmm_bench.report.figures.interactive import plotly_panels
from pdadmm_bench.report.figures.picture import Picture
from pdadmm_bench.report.figures.style import colour_of
from pdadmm_bench.report.render import html
from pdadmm_bench.report.table import Table, hoisted
from pdadmm_bench.report.tables.appendix import appendix_tables
from pdadmm_bench.report.tables.verdicts import verdict_tables

TEMPLATE = Path(__file__).with_name("page.html.j2")
ANSWER = "answer"
"""The picture that is not in a section."""
_ELSEWHERE = " (docs/protocol.md)"
"""A file that a page which was mailed does not have beside it."""


@dataclass(frozen=True)
class _Plot:
    """A plot of a picture, and the dataset and depth that it shows; empty for one over several."""

    json: str
    dataset: str = ""
    layers: str = ""


def page(
    title: str, rows: Sequence[Row], report: Report, pictures: Mapping[str, Picture], remarks: Sequence[str],
    still: Picture | None = None,
) -> str:  # fmt: skip
    """The HTML of the page.

    Args:
        title: of the page.
        rows: those that the report was made from.
        pictures: drawn by plotly, whose code (about 2 MB, compressed) is in the page where there are any.
        remarks: what could not be made.
        still: a picture at the top that needs no plotly, in place of the one in ``pictures``.
    """
    from jinja2 import Environment

    short = short_names(str(row["dataset_name"]) for row in rows if row.get("dataset_name"))
    plots = {name: _plots(each, short) for name, each in pictures.items()}
    answer = still or pictures.get(ANSWER)
    return (
        Environment(autoescape=True)
        .from_string(TEMPLATE.read_text(encoding="utf-8"))
        .render(
            title=title,
            sentences=sentences(report.leaders),
            about=about(rows),
            answer=plots.pop(ANSWER, []),
            still=_encoded(svg(still)) if still else "",
            caption=answer.title if answer else "",
            tables=[_section(table, short) for table in (*verdict_tables(report.leaders), *report.tables)],
            plots={name: (pictures[name].title, drawn) for name, drawn in plots.items()},
            appendix=[_section(table, short) for table in appendix_tables(rows)],
            remarks=remarks,
            filters=_filters(rows, short),
            plotly=_plotly() if pictures else "",
        )
    )


def _plotly() -> str:
    """The code of plotly for the page, which unpacks it: five megabytes of text are two."""
    from plotly.offline import get_plotlyjs

    return _encoded(gzip.compress(get_plotlyjs().encode(), mtime=0))


def _encoded(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")


def _plots(picture: Picture, short: Mapping[str, str]) -> list[_Plot]:
    drawn = [panel for panel in picture.panels if panel.curves]
    found = []
    for panel, source in zip(drawn, plotly_panels(picture), strict=True):
        dataset, layers = panel.about or ("", None)
        found.append(_Plot(source, short.get(dataset, dataset), "" if layers is None else str(layers)))
    return found


def _section(table: Table, short: Mapping[str, str]) -> tuple[str, str]:
    """Title and HTML of a table, in which generated graphs have their short names."""
    places = {place for place, column in enumerate(table.columns) if column.heading == "dataset"}
    table = replace(
        table,
        columns=[replace(column, heading=short.get(column.heading, column.heading)) for column in table.columns],
        rows=[
            [replace(cell, value=short.get(str(cell.value), cell.value)) if place in places else cell
             for place, cell in enumerate(line)]
            for line in table.rows
        ],
        notes=[note.removesuffix(_ELSEWHERE) for note in table.notes],
    )  # fmt: skip
    return hoisted(table).title, html(table, short.values())


def _filters(rows: Sequence[Row], short: Mapping[str, str]) -> dict[str, list[tuple[str, str]]]:
    """The values that each filter offers, with the colour of an optimizer; a filter with one value is left out."""
    values = {
        "dataset": sorted(set(short.values())),
        "layers": [str(layers) for layers in sorted({row["model_layers"] for row in rows if row.get("model_layers")})],
        "optimizer": list(dict.fromkeys(str(row["optimizer_name"]) for row in rows)),
    }
    return {
        name: [(value, colour_of(value) if name == "optimizer" else "") for value in found]
        for name, found in values.items()
        if len(found) > 1
    }
