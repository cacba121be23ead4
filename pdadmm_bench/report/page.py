"""A report as one HTML file. Every table and plot is in it, so that it can be sent by mail."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from pdadmm_bench.core.rows import Row
from pdadmm_bench.report.assemble import Report
from pdadmm_bench.report.figures.interactive import plotly_panels
from pdadmm_bench.report.figures.picture import Picture
from pdadmm_bench.report.render import html

TEMPLATE = Path(__file__).with_name("page.html.j2")


def page(
    title: str, rows: Sequence[Row], report: Report, pictures: Mapping[str, Picture], remarks: Sequence[str]
) -> str:
    """The HTML of the page. It holds the code of plotly (about 5 MB) only where there is a plot."""
    from jinja2 import Environment
    from plotly.offline import get_plotlyjs

    plots = {name: (each.title, plotly_panels(each)) for name, each in pictures.items()}
    created = sorted(str(row["created"])[:16].replace("T", " ") for row in rows if row.get("created"))
    versions = sorted({f"{row.get('env_version')} ({str(row.get('env_commit'))[:10]})" for row in rows})
    about = f"{len(rows)} result rows" + (f", {created[0]} to {created[-1]} UTC" if created else "") + "."
    if versions:
        about += f" pdadmm-bench {', '.join(versions)}."
    return (
        Environment(autoescape=True)
        .from_string(TEMPLATE.read_text(encoding="utf-8"))
        .render(
            title=title, about=about, tables=[(table.title, html(table)) for table in report.tables], plots=plots,
            remarks=remarks, plotly=get_plotlyjs() if plots else "",
        )
    )  # fmt: skip
