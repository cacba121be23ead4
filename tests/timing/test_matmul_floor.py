"""The floor makes the products of a step, all of them, on arrays like the step's, and touches nothing of the step's."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from pdadmm_bench.core.spec import run_spec
from pdadmm_bench.models import mlp
from pdadmm_bench.timing.generated import generated_problem
from pdadmm_bench.timing.matmul_floor import Floor
from pdadmm_bench.timing.profile import allocations
from pdadmm_bench.timing.subject import Subject


@pytest.mark.slow
def test_compiled_passes_stay_compiled_after_the_floor_has_watched_them() -> None:
    """Eager passes without buffers allocate several arrays per layer, which fused ones do not."""
    torch._dynamo.reset()
    compiled = subject("pdadmm", compile=True)
    before = allocations(compiled)["allocations_bytes"]
    Floor(compiled.eager)
    assert allocations(compiled)["allocations_bytes"] <= before


@pytest.mark.slow
def test_compiled_passes_write_no_intermediate_of_a_layers_size() -> None:
    torch._dynamo.reset()
    assert allocations(subject("pdadmm", compile=True))["allocations_largest_bytes"] < 50 * 17 * 4


def subject(optimizer: str, **settings: Any) -> Subject:
    shape = {"dataset": "sbm", "layers": 5, "hidden": 17, "init": "he", "threads": 1, "device": "cpu"}
    return Subject(run_spec({**shape, "optimizer": optimizer, **settings}), generated_problem(50, 12, 4))


def _flops(a: Any, b: Any, *_: Any, **__: Any) -> int:
    return 2 * a[0] * a[1] * b[1]


def _added_flops(_: Any, a: Any, b: Any, **__: Any) -> int:
    return 2 * a[0] * a[1] * b[1]


def _added_batch_flops(_: Any, a: Any, b: Any, **__: Any) -> int:
    return 2 * a[0] * a[1] * a[2] * b[2]


IN_PLACE = {torch.ops.aten.addmm_: _added_flops, torch.ops.aten.baddbmm_: _added_batch_flops}
"""What torch's own counter does not know."""


@pytest.mark.parametrize("optimizer", ["pdadmm", "pdadmm-q", "dladmm", "adam", "pdadmm-reference"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_it_has_every_product_of_the_step(optimizer: str, precision: str) -> None:
    if precision == "bf16" and optimizer not in ("pdadmm", "adam"):
        pytest.skip(f"{optimizer} has no bf16 products")
    training = subject(optimizer, precision=precision)
    floor = Floor(training)
    with FlopCounterMode(display=False, custom_mapping=IN_PLACE) as counter:
        training()
    assert floor.flops == counter.get_total_flops() > 0
    assert sum(line["flops"] for line in floor.table()) == floor.flops
    assert sum(line["count"] for line in floor.table()) == len(floor.products)
    assert {product.dtype for product in floor.products} == {"bfloat16" if precision == "bf16" else "float32"}


@pytest.mark.parametrize("optimizer", ["pdadmm", "adam"])
def test_it_leaves_the_state_alone(optimizer: str) -> None:
    training, twin = subject(optimizer), subject(optimizer)
    floor = Floor(training)
    twin()
    for _ in range(3):
        floor()
    for one in (training, twin):
        one()
    ours, theirs = (mlp.digest(one.optimizer.layers(one.state)) for one in (training, twin))
    assert ours == theirs


def test_factors_are_those_of_the_step_and_layouts_too() -> None:
    a, b, out = torch.randn(4, 3), torch.randn(5, 3), torch.zeros(4, 5)
    floor = Floor(lambda: torch.mm(a, b.T, out=out))
    (product,) = floor.products
    assert (product.m, product.k, product.n, product.left, product.right) == (4, 3, 5, "rows", "columns")
    assert product.flops == 2 * 4 * 3 * 5
    ((left, right, target),) = floor._calls
    assert left.data_ptr() == a.data_ptr()
    assert right.data_ptr() == b.data_ptr()
    assert right.stride() == b.T.stride()
    assert target.data_ptr() != out.data_ptr()
    out.zero_()
    floor()
    torch.testing.assert_close(target, a @ b.T)
    assert not out.any()


def test_what_a_product_wrote_is_read_from_the_same_copy() -> None:
    """A scratch buffer that is reused stays one buffer, in the cache or not as it is in the step."""
    x, W, V, buffer = torch.randn(6, 6), torch.randn(6, 6), torch.randn(6, 6), torch.empty(6, 6)

    def step() -> Tensor:
        torch.mm(x, W, out=buffer)
        y = torch.mm(buffer, V)
        return torch.mm(x, V, out=buffer).add_(y)

    floor = Floor(step)
    (_, _, first), (second, _, y), (_, _, third) = floor._calls
    assert first.data_ptr() == second.data_ptr() == third.data_ptr()
    assert y.data_ptr() not in (buffer.data_ptr(), first.data_ptr())


def test_batches_and_sums_are_products_without_the_sum() -> None:
    total, a, b = torch.randn(3, 4, 5), torch.randn(3, 4, 2), torch.randn(3, 2, 5)
    floor = Floor(lambda: total.baddbmm_(a, b, beta=0.5, alpha=2.0))
    floor()
    (product,) = floor.products
    assert (product.batch, product.flops) == (3, 2 * 3 * 4 * 2 * 5)
    torch.testing.assert_close(floor._calls[0][2], a @ b)


def test_what_cannot_be_replayed_is_refused() -> None:
    with pytest.raises(NotImplementedError, match="convolution"):
        Floor(lambda: torch.nn.functional.conv1d(torch.ones(1, 1, 5), torch.ones(1, 1, 3)))


def test_it_has_the_factorizations_of_exact_steps() -> None:
    """A factor and an inverse for p and for W of each layer but the first, whose inverse is kept."""
    exact = subject("pdadmm", set={"step": "exact"}, deterministic=True)
    exact.eager()
    floor = Floor(exact.eager)
    assert len(floor.factorizations) == 2 * 2 * 4
    assert {tuple(matrix.shape) for _, matrix in floor.factorizations} == {(17, 17), (4, 4)}
    floor()
