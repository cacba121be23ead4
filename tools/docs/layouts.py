"""The tables and the picture of docs/layouts.md and docs/rivals.md about two workers, from ``reports/layouts``.

    runners/layouts.sh FOLDER
    python tools/docs/layouts.py FOLDER     # takes the measurements first
    python tools/docs/layouts.py            # writes tables and picture
    python tools/docs/layouts.py --check    # fails where a page has other numbers than the measurements

Below a ratio of 1, layers over workers are faster than rows. Across the picture goes N / (L n), the training rows over
layers times width: by the bytes alone, layers send less below about 1.
"""

from __future__ import annotations

import gzip
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from marked import ROOT, Marked, main, markdown
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from pdadmm_bench.report.figures.style import colour_of, dress, heading

FILE = ROOT / "reports" / "layouts" / "measured.json.gz"
PICTURE = ROOT / "docs" / "images" / "crossover.png"
LAYOUTS, RIVALS = (ROOT / "docs" / "layouts.md",), (ROOT / "docs" / "rivals.md",)
TWO, CROSSING, BEST, PREDICTED = (
    Marked(f"layouts-{name}", FILE, LAYOUTS) for name in ("two", "crossing", "best", "predicted")
)
PIPELINES = Marked("layouts-pipelines", FILE, RIVALS)
OPTIMIZERS = ("pdadmm", "adam")
PREDICTED_FOR = {2: "-", 4: "--", 8: "-.", 16: ":"}
"""Numbers of workers, with the lines that show them."""
SHAPES = (
    ("adam-rows", "N 4,000, 16 × 1024"), ("pdadmm-rows", "N 20,000, 16 × 512"),
    ("few-60", "N 60, 16 × 2048"), ("few-300", "N 300, 16 × 2048"),
)  # fmt: skip

Found = list[dict[str, Any]]
"""Rows of ``scale`` and ``predict``; ``measurement`` is the name of the file that each came from."""


def take(folders: Sequence[Path]) -> None:
    """Keep the measurements of folders, in the place of those of the same names; the others stay."""
    found = [
        {"measurement": path.stem, **{name: value for name, value in row.items() if name != "dist_per_worker"}}
        for folder in folders
        for path in sorted(folder.glob("*.json"))
        for row in json.loads(path.read_text(encoding="utf-8"))
    ]
    names = {row["measurement"] for row in found}
    others = [row for row in TWO.load() if row["measurement"] not in names]
    rows = sorted([*others, *found], key=lambda row: str(row["measurement"]))
    FILE.write_bytes(gzip.compress(json.dumps(rows).encode(), mtime=0))


def layout_of(row: dict[str, Any]) -> str:
    """``layers``, ``rows``, or a dash for one worker."""
    return "–" if row["dist_workers"] == 1 else "rows" if row["dist_mesh"] else "layers"


def of(rows: Found, measurement: str, optimizer: str | None = None) -> Found:
    """The rows of one file, and of one optimizer."""
    return [
        row for row in rows
        if row["measurement"] == measurement and optimizer in (None, row["optimizer_name"])
    ]  # fmt: skip


def sizes(rows: Found) -> list[int]:
    """The training rows that were measured for the crossing."""
    return sorted({int(row["measurement"][6:]) for row in rows if row["measurement"].startswith("cross-")})


def two(rows: Found) -> str:
    """The efficiency of two workers, and iterations with few rows."""
    lines = []
    for name, shape in SHAPES:
        for row in of(rows, name):
            shown = [seconds(row), "–", "–", "–"]
            if row["dist_workers"] > 1:
                half = [row[f"speedup{end}"] / row["dist_workers"] for end in ("", "_low", "_high")]
                sent = (row["bytes_per_boundary"] or row["dist_reduced_bytes"]) / 1e6
                shown[1:] = [between(half, 2), f"{100 * row['time_exposed_share']:.1f} %", f"{sent:.0f} MB"]
            lines.append([shape, row["optimizer_name"], layout_of(row), *shown])
    header = ("problem", "optimizer", "two workers share", "seconds of an iteration", "efficiency", "waiting", "sent")
    return markdown(header, lines, labels=3)


def crossing(rows: Found) -> str:
    """Layers over rows: measured on two workers, and predicted for more."""
    lines = []
    for size in sizes(rows):
        for optimizer in OPTIMIZERS:
            found = of(rows, f"cross-{size}", optimizer)
            layers, shards = (next(row for row in found if layout_of(row) == name) for name in ("layers", "rows"))
            more = of(rows, f"predict-cross-{size}", optimizer)
            predictions = [f"{ratio(more, workers):.2f}" for workers in PREDICTED_FOR]
            place = f"{size / (layers['model_layers'] * layers['model_hidden']):.2f}"
            shown = [seconds(layers), seconds(shards), f"{ratio(found, 2):.2f}", *predictions]
            lines.append([f"{size:,}", place, optimizer, *shown])
    header = (
        "N", "N/(L·n)", "optimizer", "layers", "rows", "layers / rows",
        *(f"predicted, {workers} workers" for workers in PREDICTED_FOR),
    )  # fmt: skip
    return markdown(header, lines, labels=3)


def best(rows: Found) -> str:
    """Predicted seconds of an iteration in the faster layout, by optimizer and number of workers."""
    lines = []
    for size in sizes(rows):
        for optimizer in OPTIMIZERS:
            found = of(rows, f"predict-cross-{size}", optimizer)
            cells = []
            for workers in (1, *PREDICTED_FOR):
                fastest = min(
                    (row for row in found if row["dist_workers"] == workers),
                    key=lambda row: row["time_iteration_median_s"],
                )
                layout = "" if workers == 1 else f" {layout_of(fastest)}"
                cells.append(f"{1000 * fastest['time_iteration_median_s']:.0f}{layout}")
            lines.append([f"{size:,}", optimizer, *cells])
    workers = ("1 worker", *(f"{workers} workers" for workers in PREDICTED_FOR))
    return markdown(("N", "optimizer", *workers), lines, labels=2)


def predicted(rows: Found) -> str:
    """Predicted seconds over measured ones."""
    lines = []
    for name in ("adam-rows", "pdadmm-rows", *(f"cross-{size}" for size in sizes(rows))):
        for optimizer in OPTIMIZERS:
            measured = {layout_of(row): row["time_iteration_median_s"] for row in of(rows, name, optimizer)}
            guessed = {
                layout_of(row): row["time_iteration_median_s"]
                for row in of(rows, f"predict-{name}", optimizer)
                if row["dist_workers"] <= 2
            }
            if measured:
                shape = next(iter(of(rows, name)))
                problem = f"N {count(shape):,}, {shape['model_layers']} × {shape['model_hidden']}"
                off = [f"{100 * (guessed[key] / measured[key] - 1):+.0f} %" for key in ("–", "layers", "rows")]
                lines.append([problem, optimizer, *off])
    return markdown(("problem", "optimizer", "one worker", "two by layers", "two by rows"), lines, labels=2)


def pipelines(rows: Found) -> str:
    """Seconds of an iteration by schedule and micro-batches."""
    counts = sorted({int(row["measurement"][10:]) for row in rows if row["measurement"].startswith("pipelines-")})
    lines = []
    for schedule in ("gpipe", "1f1b", "zero-bubble"):
        found = [next(row for row in of(rows, f"pipelines-{n}") if row["schedule"] == schedule) for n in counts]
        lines.append([schedule, *map(seconds, found)])
    return markdown(("micro-batches", *map(str, counts)), lines)


def seconds(row: dict[str, Any]) -> str:
    """Median and interval of an iteration."""
    found = [row[f"time_iteration{end}_s"] for end in ("_median", "_low", "_high")]
    return between(found, 2 if found[0] >= 1 else 3)


def between(found: list[float | None], digits: int) -> str:
    """A value with its interval."""
    value, low, high = found
    return f"{value:.{digits}f}" + ("" if low is None else f" [{low:.{digits}f}, {high:.{digits}f}]")


def count(row: dict[str, Any]) -> int:
    """The training rows of a measurement with generated data."""
    return int(row["dataset_name"].partition("rows=")[2].partition(",")[0])


def ratio(rows: Found, workers: int) -> float:
    """Seconds with layers over workers, over seconds with rows over them."""
    mine = {layout_of(row): row["time_iteration_median_s"] for row in rows if row["dist_workers"] == workers}
    return float(mine["layers"] / mine["rows"])


def draw() -> None:
    """The crossing: a panel for each optimizer."""
    rows = TWO.load()
    figure = Figure(figsize=(9.6, 3.8), dpi=120, layout="constrained")
    for axes, optimizer in zip(figure.subplots(1, len(OPTIMIZERS), sharey=True), OPTIMIZERS, strict=True):
        dress(axes)
        first = of(rows, f"cross-{sizes(rows)[0]}")[0]
        places = [size / (first["model_layers"] * first["model_hidden"]) for size in sizes(rows)]
        for workers, line in PREDICTED_FOR.items():
            values = [ratio(of(rows, f"predict-cross-{size}", optimizer), workers) for size in sizes(rows)]
            axes.plot(places, values, line, color=colour_of(optimizer), label=f"predicted, {workers} workers")
        found = [ratio(of(rows, f"cross-{size}", optimizer), 2) for size in sizes(rows)]
        axes.plot(places, found, "o", color="#333333", markersize=5, label="measured, 2 workers")
        axes.axhline(1, color="#999999", linewidth=0.8)
        axes.set(xscale="log", yscale="log", title=optimizer, xlabel="N / (L n)", yticks=(0.5, 0.7, 1, 1.4, 2))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.legend(fontsize=7)
        axes.set_ylabel("time with layers / time with rows")
    shape = f"{first['model_layers']} layers × {first['model_hidden']}"
    heading(figure, f"Layers or rows over workers: {shape}; below 1, layers are faster")
    figure.savefig(PICTURE)


TABLES = ((TWO, two), (CROSSING, crossing), (BEST, best), (PREDICTED, predicted), (PIPELINES, pipelines))

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], *TABLES, take=take, draw=draw))
