"""One HTML file with every table and plot in it, which needs nothing else and can be mailed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pdadmm_bench.core.rows import Row
from pdadmm_bench.report.assemble import Report
from pdadmm_bench.report.figures import Curve, Histories, Panel, convergence
from pdadmm_bench.report.profile import profiles
from pdadmm_bench.report.style import CYCLE, GREY
from pdadmm_bench.report.tables import Cell, text

TEMPLATE = Path(__file__).with_name("page.html.j2")
DASHES = ("solid", "dash", "dashdot", "dot")


def page(title: str, rows: Sequence[Row], histories: Histories, report: Report, missing: Sequence[str]) -> str:
    """The page; plotly's own code (about 5 MB) is in it only if there is something to plot."""
    from jinja2 import Environment
    from plotly.offline import get_plotlyjs

    plots = _plots(rows, histories)
    created = sorted(str(row["created"]) for row in rows if row.get("created"))
    versions = sorted({f"{row.get('env_version')} ({str(row.get('env_commit'))[:10]})" for row in rows})
    about = f"{len(rows)} result rows" + (f", {created[0]} to {created[-1]}" if created else "") + "."
    if versions:
        about += f" pdadmm-bench {', '.join(versions)}."
    return (
        Environment(autoescape=True)
        .from_string(TEMPLATE.read_text(encoding="utf-8"))
        .render(
            title=title, about=about, tables=report.tables, plots=plots, missing=missing, text=text, order=_order,
            plotly=get_plotlyjs() if plots else "",
        )
    )  # fmt: skip


def _order(cell: Cell) -> str:
    """What the column is sorted by: empty for no value, in JavaScript's spelling of infinity."""
    if isinstance(cell.value, float) and math.isinf(cell.value):
        return "Infinity"
    return "" if cell.value is None else str(cell.value)


def _plots(rows: Sequence[Row], histories: Histories) -> dict[str, list[str]]:
    """Plotly's JSON of every plot under the title of its group."""
    found = {}
    for title, panels in convergence(rows, histories).items():
        names = list(dict.fromkeys(curve.name.split(" (")[0] for panel in panels for curve in panel.curves))
        drawn = [_json(panel, names) for panel in panels if panel.curves]
        found[f"{title} · median over seeds, hover for n and range"] = drawn
    for (machine, workers), profile in profiles(rows).items():
        curves = {solver: profile.curve(solver) for solver in profile.ratios}
        end = 2 * max(x[-1] for x, _ in curves.values())
        data = [
            {
                "x": [*x, end],
                "y": [*y, y[-1]],
                "name": solver,
                "line": _look(number) | {"shape": "hv"},
                "mode": "lines",
            }
            for number, (solver, (x, y)) in enumerate(curves.items())
        ]
        layout = _layout("share of problems solved", "times the fastest", log_x=True, percent=True)
        found[f"Performance profile · workers: {workers} · {machine}"] = [_figure(data, layout)]
    return found


def _json(panel: Panel, names: Sequence[str]) -> str:
    data: list[dict[str, Any]] = [_trace(curve, names, panel) for curve in panel.curves]
    if panel.slope and len(panel.curves[0].x) > 1:
        x, first = panel.curves[0].x, panel.curves[0].y[0]
        line = {"color": GREY, "dash": "dot"}
        data.append({"x": x, "y": [first * x[0] / k for k in x], "name": "slope of 1/k", "mode": "lines", "line": line})
    return _figure(data, _layout(panel.title, panel.x, panel.log_x, panel.log_y, panel.percent))


def _trace(curve: Curve, names: Sequence[str], panel: Panel) -> dict[str, Any]:
    number = "%{y:.1%}" if panel.percent else "%{y:.4g}"
    ends = (
        [f"{100 * low:.1f} to {100 * high:.1f} %" for low, high in zip(curve.low, curve.high, strict=True)]
        if panel.percent
        else [f"{low:.4g} to {high:.4g}" for low, high in zip(curve.low, curve.high, strict=True)]
    )
    return {
        "x": curve.x,
        "y": curve.y,
        "name": curve.name,
        "mode": "lines" if len(curve.x) > 12 else "lines+markers",
        "line": _look(names.index(curve.name.split(" (")[0])),
        "customdata": ends,
        "hovertemplate": f"{panel.x} %{{x:.4g}}: {number} (n={curve.runs}, %{{customdata}})",
    }


def _layout(title: str, x: str, log_x: bool = False, log_y: bool = False, percent: bool = False) -> Mapping[str, Any]:
    return {
        "title": {"text": title, "font": {"size": 14}},
        "xaxis": {"title": {"text": x}, "type": "log" if log_x else "linear"},
        "yaxis": {"type": "log" if log_y else "linear", "tickformat": ".0%" if percent else ""},
        "margin": {"l": 60, "r": 10, "t": 40, "b": 45},
        "showlegend": True,
        "legend": {"font": {"size": 11}},
    }


def _figure(data: Sequence[Mapping[str, Any]], layout: Mapping[str, Any]) -> str:
    """As plotly itself writes it, which also checks every name and value."""
    from plotly.graph_objects import Figure

    return str(Figure(data=list(data), layout=dict(layout, template="plotly_white")).to_json())


def _look(number: int) -> dict[str, Any]:
    return {"color": CYCLE[number % len(CYCLE)], "dash": DASHES[number // len(CYCLE) % len(DASHES)]}
