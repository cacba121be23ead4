"""The panels of a picture as plots of plotly, for a page."""

from __future__ import annotations

from typing import Any

from pdadmm_bench.report.figures.picture import Curve, Panel, Picture
from pdadmm_bench.report.figures.style import GREY

DASHES = ("solid", "dash", "dashdot", "dot")
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "x", "star")
LONGEST = 16
"""Letters of a name that is written beside a point in full."""
ROOM = (0.3, 0.06)
"""What a name beside a point takes of a panel's width and height."""


def plotly_panels(picture: Picture) -> list[str]:
    """The JSON of plotly for each panel that has a curve. Plotly itself writes it, and so checks names and values."""
    from plotly.graph_objects import Figure

    found = []
    for panel in picture.panels:
        if panel.curves:
            names = _names(panel) if panel.kind == "scatter" else {}
            data = [_trace(curve, panel, *picture.look(curve), names.get(curve.name, "")) for curve in panel.curves]
            if guide := panel.guide:
                look = {"color": GREY, "dash": "dot"}
                data.append({"x": guide.x, "y": guide.y, "name": guide.name, "mode": "lines", "line": look})
            found.append(str(Figure(data=data, layout=_layout(panel)).to_json()))
    return found


def _trace(curve: Curve, panel: Panel, colour: str, number: int, beside: str) -> dict[str, Any]:
    """The curve in its colour and with the ``number`` of its look; ``beside`` is written beside a point."""
    line: dict[str, Any] = {"color": colour, "dash": DASHES[number % len(DASHES)]}
    markers = panel.kind != "steps" and len(curve.x) <= 12
    trace: dict[str, Any] = {
        "x": curve.x, "y": curve.y, "name": curve.label, "line": line, "mode": "lines+markers" if markers else "lines",
        "meta": curve.optimizer, "marker": {"color": colour},
        "hovertemplate": f"{panel.x} %{{x:.4~g}}: {'%{y:.1%}' if panel.percent else '%{y:.4~g}'}%{{customdata}}",
        "customdata": [_behind(curve, panel, place) for place in range(len(curve.x))],
    }  # fmt: skip
    if panel.kind == "steps":
        place = len(panel.curves) - 1 - panel.curves.index(curve)
        line |= {"shape": "hv", "width": 2 + place}  # the lower of two equal curves stays visible
    if panel.kind in ("points", "scatter"):
        trace["error_y"] = _bars(curve.y, curve.low, curve.high)
    if panel.kind == "scatter":
        inward = "left" if max(curve.x) > 0.8 * _widest(panel) else "right"  # a name at the edge would be cut off
        trace |= {"mode": "markers+text", "text": [beside], "textposition": f"top {inward}"}
        marker = {"color": colour, "size": 9, "symbol": SYMBOLS[number % len(SYMBOLS)]}
        trace |= {"textfont": {"color": colour, "size": 12}, "marker": marker}
        trace["error_x"] = _bars(curve.x, curve.x_low, curve.x_high)
    return trace


def _names(panel: Panel) -> dict[str, str]:
    """What is written beside each point, by the name of its curve: nothing where a more accurate point has the room.

    Instead of a long name it is the optimizer. The full name is shown when one points at it.
    """
    width = _widest(panel)
    heights = [value for curve in panel.curves for value in curve.y]
    height = max(heights) - min(heights) or 1.0
    placed: list[Curve] = []
    for curve in sorted(panel.curves, key=lambda curve: -curve.y[0]):
        (x,), (y,) = curve.x, curve.y
        if all(abs(x - o.x[0]) > ROOM[0] * width or abs(y - o.y[0]) > ROOM[1] * height for o in placed):
            placed.append(curve)
    return {curve.name: curve.name if len(curve.name) <= LONGEST else curve.optimizer or curve.name for curve in placed}


def _widest(panel: Panel) -> float:
    """The largest x of a panel, of the ends of intervals too."""
    return max(value for curve in panel.curves for value in (*curve.x, *curve.x_high) if value is not None)


def _bars(values: list[float], low: list[float | None], high: list[float | None]) -> dict[str, Any]:
    """Error bars of plotly; a value without an interval has none."""
    known = list(zip(values, low, high, strict=True))
    return {
        "type": "data",
        "symmetric": False,
        "array": [0.0 if upper is None else upper - value for value, _, upper in known],
        "arrayminus": [0.0 if lower is None else value - lower for value, lower, _ in known],
        "thickness": 1.5,
    }


def _behind(curve: Curve, panel: Panel, place: int) -> str:
    """The end of a label: how many runs a value is based on, and their range or interval."""
    if not curve.n:
        return ""
    low, high = curve.low[place], curve.high[place]
    if low is None or high is None or curve.n[place] == 1:
        return f" (n={curve.n[place]})"
    ends = f"{100 * low:.1f} to {100 * high:.1f} %" if panel.percent else f"{low:.4g} to {high:.4g}"
    return f" (n={curve.n[place]}, {ends})"


def _layout(panel: Panel) -> dict[str, Any]:
    x: dict[str, Any] = {"title": {"text": panel.x}, "type": "log" if panel.log_x else "linear"}
    if panel.ticks:
        x |= {"tickvals": list(panel.ticks), "ticktext": [f"{tick:g}" for tick in panel.ticks]}
    y: dict[str, Any] = {"type": "log" if panel.log_y else "linear", "exponentformat": "power"}
    if panel.percent:
        y |= {"tickformat": ".0%", "minallowed": -0.04, "maxallowed": 1.04}
    if panel.kind == "points":
        y["rangemode"] = "tozero"
    if panel.kind == "scatter":
        x["rangemode"] = "tozero"
    shapes = []
    if panel.shade:
        name, end = panel.shade
        shapes.append(
            {
                "type": "rect", "xref": "x", "yref": "paper", "x0": 0, "x1": end, "y0": 0, "y1": 1, "layer": "below",
                "line": {"width": 0}, "fillcolor": GREY, "opacity": 0.12,
                "label": {"text": name, "textangle": -90, "font": {"size": 10}},
            }
        )  # fmt: skip
    return {
        "shapes": shapes,
        "title": {"text": panel.title, "font": {"size": 14}},
        "xaxis": x,
        "yaxis": y,
        "margin": {"l": 60, "r": 10, "t": 40, "b": 45},
        "showlegend": panel.kind != "scatter",
        "legend": {"font": {"size": 11}, "orientation": "h", "x": 0, "y": -0.25},
        "hovermode": "closest",
        "template": "none",
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
    }
