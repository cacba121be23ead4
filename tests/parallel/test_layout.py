"""Who holds what: the memory that is planned for a worker."""

from __future__ import annotations

from typing import Any

import pytest

from pdadmm_bench.core.errors import UserError
from pdadmm_bench.core.spec import run_spec
from pdadmm_bench.optim.create import create_optimizer
from pdadmm_bench.parallel.forecast import chosen_mesh, planned_bytes
from pdadmm_bench.parallel.layout import ProblemShape, layout_of
from pdadmm_bench.training.setup import resolve

ROWS, HIDDEN = 40, 16
SIZES = [12, HIDDEN, HIDDEN, HIDDEN, HIDDEN, 3]


def planned(**values: Any) -> list[int]:
    """Planned bytes of every worker."""
    spec = run_spec({"layers": 5, "hidden": HIDDEN, **values})
    optimizer = create_optimizer(spec)
    layout = layout_of(spec, optimizer.cost_profile, ProblemShape(ROWS, tuple(SIZES)), spec.gpus)
    return [planned_bytes(spec, optimizer, SIZES, ROWS, block) for block in layout.blocks]


@pytest.mark.parametrize(("wire", "bytes_per_number"), [("auto", 4), ("fp32", 4), ("bf16", 2)])
def test_planned_memory_has_three_buffers_per_neighbour(wire: str, bytes_per_number: int) -> None:
    """One to send from and two to receive into; the layers themselves take the same wherever they are."""
    three = planned(gpus=3, partition="1,2,2", wire=wire)
    assert sum(three) == sum(planned()) + 2 * 2 * 3 * ROWS * HIDDEN * bytes_per_number


def test_a_pipeline_is_planned_with_padded_rows_and_the_activations_in_flight() -> None:
    options = {"optimizer": "adam", "gpus": 2, "partition": "2,3", "microbatches": 8}
    gpipe, early = planned(**options), planned(**options, schedule="1f1b")
    assert early[0] < gpipe[0]
    assert planned(**{**options, "microbatches": 7})[0] > gpipe[0]  # 42 rows instead of 40


@pytest.mark.parametrize(("gpus", "partition"), [(2, "2,3"), (3, "2,2,1"), (4, "1,1,1,2")])
def test_workers_get_whole_blocks_of_the_method(gpus: int, partition: str) -> None:
    """Five layers in three blocks of 2, 2 and 1; four workers cannot have whole ones."""
    spec = run_spec({"layers": 5, "hidden": 16, "optimizer": "pdadmm-c", "set": {"blocks": 3}, "gpus": gpus})
    layout = layout_of(spec, create_optimizer(spec).cost_profile, ProblemShape(ROWS, tuple(SIZES)), gpus)
    assert layout.partition == partition


def chosen(rows: int, **values: Any) -> tuple[int, int]:
    spec = run_spec({"hidden": HIDDEN, "layers": 5, "mesh": "auto", **values})
    widths = [12, *[spec.model.hidden] * (spec.model.layers - 1), 3]
    return chosen_mesh(spec, create_optimizer(spec), widths, rows)


def test_auto_takes_layers_for_few_rows_of_wide_networks_and_rows_for_many() -> None:
    assert chosen(100, gpus=4, hidden=2000, layers=8) == (4, 1)
    assert chosen(100_000, gpus=4, hidden=200, layers=8, optimizer="adam") == (1, 4)


def test_auto_takes_a_mesh_that_the_optimizer_the_layers_and_the_partition_allow() -> None:
    assert chosen(100_000, gpus=4, optimizer="pdadmm-reference") == (4, 1)
    assert chosen(100_000, gpus=8, optimizer="adam", partition="2,3") == (2, 4)
    with pytest.raises(UserError, match="no mesh of 7 workers fits adam with 5 layers, 6 training rows"):
        chosen(6, gpus=7, optimizer="adam")


def test_a_resolved_run_has_the_mesh_that_was_chosen() -> None:
    spec = run_spec({"layers": 5, "hidden": HIDDEN, "gpus": 2, "mesh": "auto", "device": "cpu"})
    resolved = resolve(spec, ProblemShape(100_000, tuple(SIZES)))
    assert resolved.layout is not None
    assert resolved.spec.mesh == resolved.layout.mesh == "layers=1,rows=2"


def test_the_workers_of_a_mesh_have_their_places() -> None:
    spec = run_spec({"layers": 5, "hidden": HIDDEN, "gpus": 6, "mesh": "layers=2,rows=3"})
    layout = layout_of(spec, create_optimizer(spec).cost_profile, ProblemShape(ROWS, tuple(SIZES)), 6)
    assert (layout.workers, len(layout.blocks), layout.mesh) == (6, 2, "layers=2,rows=3")
    assert [layout.place(rank) for rank in range(6)] == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)]
    assert (layout.column(4), layout.row(4)) == ([3, 4, 5], [1, 4])
    with pytest.raises(UserError, match="3 workers cannot share 2 training rows: give at most 2"):
        layout_of(spec, create_optimizer(spec).cost_profile, ProblemShape(2, tuple(SIZES)), 6)
