"""Who holds what: the memory that is planned for a worker."""

from __future__ import annotations

from typing import Any

import pytest

from pdadmm_bench.core.spec import run_spec
from pdadmm_bench.optim.create import create_optimizer
from pdadmm_bench.parallel.forecast import planned_bytes
from pdadmm_bench.parallel.layout import ProblemShape, layout_of

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
