"""The picture of what each worker did holds what the row says."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest

from pdadmm_bench.core.rows import Row, make_row
from pdadmm_bench.report.figures.workers import workers_figure


def worker(rank: int, **values: Any) -> dict[str, Any]:
    times = {"compute_s": 0.03, "exposed_s": 0.005, "idle_s": 0.005, "overlapped_s": 0.01}
    sizes = {"sent_bytes": 61_440, "received_bytes": 61_440, "state_bytes": 4_600_000, "peak_bytes": 412_000_000}
    return {"rank": rank, "layers": f"{2 * rank}-{2 * rank + 1}", "parameters": 1, **times, **sizes, **values}


def a_row(workers: list[dict[str, Any]] | None) -> Row:
    names = {"optimizer_name": "pdadmm", "dataset_name": "sbm[nodes=300]", "seed": 0, "status": "ok"}
    count = 2 if workers is None else len(workers)
    shape = {"model_layers": 2 * count, "model_hidden": 64, "dist_workers": count, "dist_device": "cpu"}
    details = {} if workers is None else {"dist_per_worker": json.dumps(workers)}
    return make_row({**names, **shape, **details})


def test_bars_are_the_parts_of_an_iteration() -> None:
    figure = workers_figure(a_row([worker(0), worker(1, compute_s=0.02, idle_s=0.015)]))
    figure.savefig(io.BytesIO(), format="png")
    (axes,) = figure.axes
    bars = [(round(bar.get_x(), 6), round(bar.get_width(), 6)) for bar in axes.patches]
    assert bars == [(0, 30), (30, 5), (35, 5), (20, 10), (0, 20), (20, 5), (25, 15), (10, 10)]
    assert axes.get_xlabel() == "one iteration (ms)"
    assert [label.get_text() for label in axes.get_yticklabels()] == ["worker 0\nlayers 1–2", "worker 1\nlayers 3–4"]
    assert "state 4.6 MB, peak 412 MB" in axes.texts[0].get_text()
    assert "sends 61.4 kB" in axes.texts[0].get_text()
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == [
        "compute", "exposed communication", "idle", "communication behind compute (estimate)",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "workers",
    [
        None,
        [],
        [worker(0, compute_s=0.0, exposed_s=0.0, idle_s=0.0, overlapped_s=0.0)],
        [worker(rank) for rank in range(16)],
        [worker(0, compute_s=90.0, overlapped_s=120.0, state_bytes=3e12), worker(1)],
    ],
)
def test_odd_rows_are_drawn(workers: list[dict[str, Any]] | None) -> None:
    workers_figure(a_row(workers)).savefig(io.BytesIO(), format="png")


def test_layers_are_counted_from_one() -> None:
    (axes,) = workers_figure(a_row([worker(0, layers="0-0"), worker(1, layers="1-9")])).axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["worker 0\nlayer 1", "worker 1\nlayers 2–10"]


def test_workers_that_share_rows_differ_in_them() -> None:
    """A mesh of two workers along the layers and two along the rows."""
    ends = [("0-1", "0-69"), ("0-1", "70-139"), ("2-3", "0-69"), ("2-3", "70-139")]
    workers = [worker(rank, layers=layers, rows=rows, reduced_bytes=2_000) for rank, (layers, rows) in enumerate(ends)]
    (axes,) = workers_figure(a_row(workers)).axes
    assert [label.get_text() for label in axes.get_yticklabels()] == [
        "worker 0\nlayers 1–2, rows 1–70", "worker 1\nlayers 1–2, rows 71–140",
        "worker 2\nlayers 3–4, rows 1–70", "worker 3\nlayers 3–4, rows 71–140",
    ]  # fmt: skip
    assert "receives 61.4 kB, sums 2 kB" in axes.texts[0].get_text()


def test_hidden_communication_stays_within_compute() -> None:
    (axes,) = workers_figure(a_row([worker(0, compute_s=2.0, overlapped_s=5.0), worker(1)])).axes
    assert (axes.patches[3].get_x(), axes.patches[3].get_width()) == (0.0, 2.0)
    assert axes.get_xlabel() == "one iteration (s)"
