"""What each worker of a run did in an iteration: compute, exposed communication and idle time, stacked."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from pdadmm_bench.core.rows import Row
from pdadmm_bench.report.figures.style import BLUE, GREY, ORANGE, heading, note, panels, shape
from pdadmm_bench.report.units import size

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_PARTS = (
    ("compute_s", "compute", BLUE),
    ("exposed_s", "exposed communication", ORANGE),
    ("idle_s", "idle", "#dcdcdc"),
)
_HATCH = "communication behind compute (estimate)"


def workers_figure(row: Row) -> Figure:
    """A bar per worker, from the row's ``dist_per_worker``.

    The parts are medians over iterations, so bars may differ in length. Communication that happened during computing is
    part of the compute time; it is hatched at the end of that part.
    """
    workers = json.loads(row.get("dist_per_worker") or "[]")
    figure, (axes,) = panels(1, width=9.0, height=1.5 + 0.55 * max(1, len(workers)))
    heading(figure, f"{row['optimizer_name']} on {row['dataset_name']}{shape(row)}")
    axes.grid(False, axis="y")
    if not workers:
        axes.set_axis_off()
        note(axes, "nothing was recorded per worker")
        return figure
    longest = max(_seconds(worker) for worker in workers)
    scale, unit = (1.0, "s") if longest >= 1 else (1e3, "ms")
    for place, worker in enumerate(workers):
        left = 0.0
        for key, label, color in _PARTS:
            width = scale * worker[key]
            axes.barh(place, width, left=left, height=0.6, color=color, label=None if place else label)
            left += width
        end, hidden = scale * worker["compute_s"], scale * min(worker["overlapped_s"], worker["compute_s"])
        axes.barh(
            place, hidden, left=end - hidden, height=0.6, color="none", hatch="////", edgecolor="white",
            linewidth=0, label=None if place else _HATCH,
        )  # fmt: skip
        axes.text(left + 0.01 * scale * longest, place, _notes(worker), va="center", fontsize=8, color=GREY)
    axes.set_yticks(range(len(workers)), [_name(worker) for worker in workers])
    axes.invert_yaxis()
    axes.set_xlim(0, 1.5 * scale * longest)  # room for the notes
    axes.set_xlabel(f"one iteration ({unit})")
    _legend(figure, axes)
    return figure


def _legend(figure: Figure, axes: Any) -> None:
    from matplotlib.patches import Patch

    handles, labels = axes.get_legend_handles_labels()
    # White stripes are visible only on a colour.
    handles[-1] = Patch(facecolor=BLUE, hatch="////", edgecolor="white", linewidth=0)
    figure.legend(handles, labels, loc="outside lower left", ncols=4, fontsize=8, frameon=False)


def _seconds(worker: dict[str, Any]) -> float:
    return sum(worker[key] for key, _, _ in _PARTS) or 1e-9


def _name(worker: dict[str, Any]) -> str:
    """The worker, its layers, and its rows where others have the same layers; all are counted from 1, as users do."""
    places = [_counted("layer", str(worker["layers"]))]
    places += [_counted("row", str(worker["rows"]))] if worker.get("rows") else []
    return f"worker {worker['rank']}\n{', '.join(places)}"


def _counted(noun: str, places: str) -> str:
    """``layers 1–2`` for ``0-1``."""
    first, _, last = places.partition("-")
    return f"{noun} {int(first) + 1}" if last in ("", first) else f"{noun}s {int(first) + 1}–{int(last) + 1}"


def _notes(worker: dict[str, Any]) -> str:
    sums = f", sums {size(worker['reduced_bytes'])}" if "reduced_bytes" in worker else ""
    return (
        f"sends {size(worker['sent_bytes'])}, receives {size(worker['received_bytes'])}{sums}\n"
        f"state {size(worker['state_bytes'])}, peak {size(worker['peak_bytes'])}"
    )
