"""The picture at the top of a page: which names stand beside the points."""

from __future__ import annotations

import json

from pdadmm_bench.report.figures.interactive import plotly_panels
from pdadmm_bench.report.figures.picture import Curve, Panel, Picture


def point(name: str, seconds: float, accuracy: float, optimizer: str = "adam") -> Curve:
    """A point without intervals."""
    return Curve(name, [seconds], [accuracy], [None], [None], [1], False, optimizer, [None], [None])


def written(*curves: Curve) -> dict[str, tuple[str, str]]:
    """Text and symbol of each point."""
    (panel,) = plotly_panels(Picture("", [Panel("", "seconds", list(curves), kind="scatter", percent=True)]))
    return {
        trace["name"].partition(" (")[0]: (trace["text"][0], trace["marker"]["symbol"])
        for trace in json.loads(panel)["data"]
    }


def test_a_long_name_is_its_optimizer_and_variants_have_symbols() -> None:
    long = "adam batch_size=512 lr=0.001"
    assert written(point("adam", 1.0, 0.5), point(long, 9.0, 0.9)) == {
        "adam": ("adam", "circle"),
        long: ("adam", "square"),
    }


def test_of_names_in_one_place_the_more_accurate_is_written() -> None:
    found = written(point("sgd", 5.0, 0.90, "sgd"), point("adam", 5.1, 0.91), point("ddg", 5.0, 0.5, "ddg"))
    assert {name: text for name, (text, _) in found.items()} == {"sgd": "", "adam": "adam", "ddg": "ddg"}
