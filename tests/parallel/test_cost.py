"""The cost model counts what the optimizers do, and its times are those one gets by hand."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from pdadmm_bench.core.block import Block
from pdadmm_bench.core.spec import ModelSpec
from pdadmm_bench.data.problem import Problem, Rows
from pdadmm_bench.models import mlp
from pdadmm_bench.optim import registry
from pdadmm_bench.optim.admm.output_layer import output_z_in_steps
from pdadmm_bench.optim.base import Links, Optimizer, state_bytes
from pdadmm_bench.optim.cost import OUTPUT_PASSES, OUTPUT_SOLVES, PDADMM, Arrays, CostProfile
from pdadmm_bench.parallel.cost import WIRE_BYTES, Layers, Machine, Prediction, layer_costs, predict_iteration
from pdadmm_bench.parallel.partition import partition
from pdadmm_bench.timing import machine as rates

ROWS, WIDTHS = 101, [31, 27, 27, 27, 20]
WIDE = [131, *WIDTHS[1:]]
"""More features than rows: the first layer of an ADMM works in sample space."""
FEW, FEW_WIDTHS = 12, [5, 60, 60, 60, 20]
"""So few rows that the steps of W in the other layers stay in their span."""
SIZES = pytest.mark.parametrize(
    ("rows", "widths"), [(ROWS, WIDTHS), (ROWS, WIDE), (FEW, FEW_WIDTHS)], ids=["narrow", "wide", "few"]
)
STEADY = 20
"""Iterations after which the output layer's solver takes its usual number of steps."""
NOT_ELEMENTWISE = {
    "mm",
    "t",
    "transpose",
    "permute",
    "expand",
    "detach",
    "empty_like",
    "alias",
    "view",
    "_unsafe_view",
    "unsqueeze",
    "slice",
    "split",
}
MACHINE = Machine(flops_per_s=1e9, memory_bytes_per_s=1e9, bandwidth_bytes_per_s=1e8, latency_s=1e-3)


def in_place_flops(target: Any, a: Any, b: Any, **_: Any) -> int:
    return 2 * a[0] * a[1] * b[1]


IN_PLACE = {torch.ops.aten.addmm_: in_place_flops}
"""What the counter does not know by itself."""


class Traffic(TorchDispatchMode):
    """Counts the bytes that operations other than matrix products read and write."""

    num_bytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        name = func.__name__.split(".")[0]
        if name not in NOT_ELEMENTWISE:
            # addmm copies what it adds to, which is elementwise; its factors are the product's.
            read = args[:1] if name in ("addmm", "addmm_") else (args, {**(kwargs or {}), "grad_input": None})
            # torch's fused optimizers return nothing.
            written = result if func._schema.returns else overwritten(func, args)
            self.num_bytes += sum(t.nbytes for t in pytree.tree_leaves((read, written)) if isinstance(t, torch.Tensor))
        return result


def overwritten(func: Any, args: Sequence[Any]) -> list[Any]:
    """What ``func`` declares to write, but for gradients, which a fused optimizer writes only to unscale them."""
    return [
        value
        for argument, value in zip(func._schema.arguments, args, strict=False)
        if argument.alias_info and argument.alias_info.is_write and argument.name != "grads"
    ]


def started(name: str, widths: Sequence[int] = WIDTHS, rows: int = ROWS, **values: Any) -> tuple[Optimizer, Any]:
    """An optimizer in its steady state, shared by the tests: a step more makes no difference to what they count."""
    return _started(name, tuple(widths), rows, tuple(values.items()))


@cache
def _started(
    name: str, widths: tuple[int, ...], rows: int, values: tuple[tuple[str, Any], ...]
) -> tuple[Optimizer, Any]:
    generator = torch.Generator().manual_seed(0)
    part = Rows(x=torch.randn(rows, widths[0], generator=generator), y=torch.arange(rows) % widths[-1])
    problem = Problem(name="t", split="t", num_classes=widths[-1], train=part, val=part, test=part, sha256="")
    block = Block.whole(len(widths) - 1)
    optimizer = registry.get(name).create(dict(values), name)
    optimizer.deterministic = True  # the counter does not know batched products
    layers = mlp.initial_layers(ModelSpec(layers=len(block), hidden=widths[1], init="he"), list(widths), 0, block)
    state = optimizer.init(problem, layers, block, Links(wire=optimizer.wire("auto")))
    for _ in range(STEADY):
        optimizer.step(state)
    return optimizer, state


def profile_of(name: str, **values: Any) -> CostProfile:
    return registry.get(name).create(values, name).cost_profile


DECLARED = sorted(name for name in registry.names() if profile_of(name).assumed_from is None)
ADMM: list[tuple[str, dict[str, Any]]] = [
    ("pdadmm", {}), ("pdadmm-q", {}), ("pdadmm-q", {"quantize": "q"}), ("dladmm", {}),
]  # fmt: skip
KINDS = [
    ("layer", "projected"),
    *((step, bias) for step in ("row-unit", "exact-W", "exact") for bias in ("update", "projected")),
]
STEPS = [{"step": step, "bias": bias} for step, bias in KINDS]
CASES = [
    *ADMM,
    *(("pdadmm", values) for values in STEPS),
    *(pytest.param(name, values, marks=pytest.mark.slow) for name in ("pdadmm-q", "dladmm") for values in STEPS),
    *((name, {}) for name in DECLARED if name not in {name for name, _ in ADMM}),
    ("sgd", {"momentum": 0.9}),
]


def test_every_optimizer_but_the_reference_declares_a_profile() -> None:
    assert set(registry.names()) - set(DECLARED) == {"pdadmm-reference"}


@pytest.mark.slow
@SIZES
@pytest.mark.parametrize(("name", "values"), CASES)
def test_products_are_those_the_optimizer_makes(
    name: str, values: dict[str, Any], rows: int, widths: Sequence[int]
) -> None:
    optimizer, state = started(name, widths, rows, **values)
    with FlopCounterMode(display=False, custom_mapping=IN_PLACE) as counter:
        optimizer.step(state)
    layers = Layers(optimizer.cost_profile, widths, rows)
    assert sum(layers.flops(index) for index in range(len(layers))) == counter.get_total_flops()


@SIZES
@pytest.mark.parametrize(("name", "values"), CASES)
def test_passes_are_close_to_those_the_optimizer_makes(
    name: str, values: dict[str, Any], rows: int, widths: Sequence[int]
) -> None:
    """Within a tenth: vectors and scalars are left out of the model."""
    optimizer, state = started(name, widths, rows, **values)
    with Traffic() as counter:
        optimizer.step(state)
    layers = Layers(optimizer.cost_profile, widths, rows)
    assert sum(map(layers.traffic, range(len(layers)))) == pytest.approx(counter.num_bytes, rel=0.1)


@pytest.mark.parametrize(("name", "values", "solved"), [(*case, 2 if case[0] == "dladmm" else 1) for case in ADMM])
def test_on_a_device_the_output_layer_has_passes_of_its_own(name: str, values: dict[str, Any], solved: int) -> None:
    """Those of a fixed number of steps, counted on the CPU, or those of one kernel where they are compiled."""
    a, y = torch.randn(ROWS, WIDTHS[-1]), torch.arange(ROWS) % WIDTHS[-1]
    with Traffic() as counter:
        output_z_in_steps(a, y, 1e-3, a)
    passes = counter.num_bytes / a.nbytes
    optimizer = registry.get(name).create(values, name)
    on_cpu = optimizer.cost_profile.last.passes.outputs
    optimizer.device = "cuda"
    on_device = optimizer.cost_profile.last.passes.outputs
    rest = on_cpu - OUTPUT_SOLVES[solved] * OUTPUT_PASSES
    assert on_device - rest == pytest.approx(solved * passes, rel=0.05)
    if optimizer.compiles:
        optimizer.compile = True
        assert optimizer.cost_profile.last.passes.outputs == pytest.approx(rest + 5)


@pytest.mark.parametrize("widths", [WIDTHS, WIDE], ids=["narrow", "wide"])
@pytest.mark.parametrize(("name", "values"), [*ADMM, *(("pdadmm", values) for values in STEPS)])
def test_state_is_what_the_optimizer_holds(name: str, values: dict[str, Any], widths: Sequence[int]) -> None:
    optimizer, state = started(name, widths, **values)
    layers = Layers(optimizer.cost_profile, widths, ROWS)
    scalars = 64 if "step" not in values else 64 + 4 * (ROWS + 3 * widths[1])  # and vectors of the sample space
    assert sum(map(layers.state_bytes, range(len(layers)))) == pytest.approx(state_bytes(state), abs=scalars)


def test_exact_steps_are_planned_with_their_products_and_factors() -> None:
    """Ten rows, by hand: primal forms and an inverse that is kept; sample space; dual forms."""
    layers = Layers(profile_of("pdadmm", step="exact"), [3, 4, 4], 10)
    assert layers.flops(0) == 2 * (2 * 10 * 3 * 4 + 4 * 3 * 3)
    assert layers.flops(1) == 2 * (4 * 10 * 4 * 4 + 2 * 10 * 4 * 4 + 2 * 4 * 4 * 4)
    assert [layers.factorizing(0), layers.factorizing(1)] == [0, 2 * 2 * 4**3]
    wide = Layers(profile_of("pdadmm", step="exact"), [20, 4, 4], 10)
    assert wide.flops(0) == 2 * 2 * 10 * 10 * 4
    dual = Layers(profile_of("pdadmm", step="exact"), [3, 20, 4], 10)  # 10 rows of 20 inputs, and 4 outputs
    assert dual.flops(1) == 2 * (7 * 10 * 20 * 4 + 10 * 10 * (20 + 4) + 4 * 4 * 20 + 10 * 4 * 4)
    assert dual.factorizing(1) == 2 * (10**3 + 4**3)


def test_a_hand_made_network() -> None:
    """10 rows, widths 2-3-4: pdADMM makes 2 products in the first layer and 4 in the second, its last."""
    layers = Layers(PDADMM, [2, 3, 4], 10)
    assert [layers.flops(0), layers.flops(1)] == [2 * 2 * 10 * 2 * 3, 4 * 2 * 10 * 3 * 4]
    assert layers.traffic(0) == 4 * (73 * 10 * 3 + 10 * 3 * 3)
    # First: x; z, r, q; W, b. Last: p; z, r; W, b; labels.
    assert layers.state_bytes(0) == 4 * (10 * 2 + 3 * 10 * 3 + 3 * 3)
    assert layers.state_bytes(1) == 4 * (10 * 3 + 2 * 10 * 4 + 4 * 4) + 8 * 10
    assert [layers.parameters(0), layers.parameters(1)] == [9, 16]


NO_PASSES = {role: replace(getattr(PDADMM, role), passes=Arrays()) for role in ("first", "hidden", "last")}
PRODUCTS_ONLY = replace(PDADMM, **NO_PASSES)


def blocks(*sizes: int) -> list[Block]:
    return partition(",".join(map(str, sizes)), [1.0] * sum(sizes), len(sizes))


def test_overlap_hides_what_the_windows_hold() -> None:
    """Six layers of 10 units, 100 rows, on two workers: one product takes 20 µs, a hidden layer 80, the first 40."""
    widths, product = [10] * 7, 2 * 100 * 10 * 10 / 1e9
    quick, slow = (Machine(1e9, 1e9, 100 * 10 * 4 / seconds, 0.0) for seconds in (4 * product, 10 * product))
    hidden = predict_iteration(PRODUCTS_ONLY, widths, 100, blocks(3, 3), quick)
    assert [worker.compute_s for worker in hidden.workers] == pytest.approx([10 * product, 12 * product])
    # v arrives during the right worker's one layer between, 4 products; p leaves after 2 and is wanted after 6.
    assert hidden.exposed_s == 0
    assert hidden.iteration_s == pytest.approx(12 * product)
    exposed = predict_iteration(PRODUCTS_ONLY, widths, 100, blocks(3, 3), slow)
    assert [worker.exposed_s for worker in exposed.workers] == pytest.approx([(10 - 4) * product, (10 - 4) * product])
    assert exposed.iteration_s == pytest.approx(18 * product)
    assert exposed.exposed_share == pytest.approx(6 / 18)


def test_layers_alone_hide_p_behind_the_rest_of_the_layer() -> None:
    """A worker of one hidden layer sends p after 2 of 4 products, and has no layer between to hide v behind."""
    widths, product = [10] * 5, 2 * 100 * 10 * 10 / 1e9
    machine = Machine(1e9, 1e9, 100 * 10 * 4 / (3 * product), 0.0)
    prediction = predict_iteration(PRODUCTS_ONLY, widths, 100, blocks(1, 1, 1, 1), machine)
    v, p = 3 * product, (3 - 2) * product
    assert prediction.workers[1].exposed_s == pytest.approx(v + p)
    assert prediction.iteration_s == pytest.approx(4 * product + v + p)


def test_sequential_workers_take_turns() -> None:
    prediction = predict_iteration(profile_of("dladmm"), [10] * 5, 100, blocks(2, 2), MACHINE)
    single = predict_iteration(profile_of("dladmm"), [10] * 5, 100, blocks(4), MACHINE)
    transfer = 1e-3 + 100 * 10 * 4 / 1e8
    assert prediction.iteration_s == pytest.approx(single.iteration_s + 2 * transfer)
    assert prediction.exposed_s == pytest.approx(2 * transfer)


def test_a_pipeline_has_the_bubble_of_gpipe() -> None:
    """Four equal stages, eight micro-batches, free messages and updates: (M + G − 1)/M turns of one stage's work."""
    role = replace(profile_of("sgd").hidden, passes=Arrays())
    profile = replace(profile_of("sgd"), first=role, hidden=role, last=role)
    machine = replace(MACHINE, memory_bytes_per_s=math.inf, bandwidth_bytes_per_s=math.inf, latency_s=0.0)
    stages = predict_iteration(profile, [10] * 5, 80, blocks(1, 1, 1, 1), machine, microbatches=8)
    assert stages.iteration_s == pytest.approx(stages.workers[0].compute_s * 11 / 8)
    assert stages.workers[0].compute_s == pytest.approx(3 * 2 * 80 * 10 * 10 / 1e9)


def test_1f1b_takes_the_time_of_gpipe_and_less_memory() -> None:
    profile = profile_of("adam")
    gpipe, one = (
        predict_iteration(profile, [10] * 5, 80, blocks(2, 2), MACHINE, schedule=schedule, microbatches=8)
        for schedule in ("gpipe", "1f1b")
    )
    assert one.iteration_s == gpipe.iteration_s
    assert [a.state_bytes < b.state_bytes for a, b in zip(one.workers, gpipe.workers, strict=True)] == [True, True]


def test_zero_bubble_leaves_a_third_of_the_bubble() -> None:
    """Four equal stages of products only, eight micro-batches: (M + (G − 1)/3)/M turns, in the memory of 1F1B."""
    role = replace(profile_of("sgd").hidden, passes=Arrays())
    profile = replace(profile_of("sgd"), first=role, hidden=role, last=role)
    machine = replace(MACHINE, memory_bytes_per_s=math.inf, bandwidth_bytes_per_s=math.inf, latency_s=0.0)
    zero, one = (
        predict_iteration(profile, [10] * 5, 80, blocks(1, 1, 1, 1), machine, schedule=schedule, microbatches=8)
        for schedule in ("zero-bubble", "1f1b")
    )
    assert zero.iteration_s == pytest.approx(zero.workers[0].compute_s * (8 + 1) / 8)
    assert zero.state_bytes == one.state_bytes


@pytest.mark.parametrize(("wire", "size"), WIRE_BYTES.items())
def test_bytes_per_boundary_are_one_tensor_each_way(wire: str, size: int) -> None:
    prediction = predict_iteration(PDADMM, [7, 10, 10, 10, 3], 100, blocks(2, 1, 1), MACHINE, wire=wire)
    assert prediction.boundary_bytes == 2 * 100 * 10 * size
    assert [worker.sent_bytes for worker in prediction.workers] == [1000 * size, 2000 * size, 1000 * size]


def test_a_pipeline_sends_the_padding_too() -> None:
    profile = profile_of("sgd")
    assert predict_iteration(profile, [7, 10, 3], 101, blocks(1, 1), MACHINE, microbatches=8).boundary_bytes == (
        2 * 104 * 10 * 4
    )
    assert predict_iteration(profile, [7, 10, 3], 101, blocks(2), MACHINE, microbatches=8).boundary_bytes == 0


@given(
    st.sampled_from(DECLARED),
    st.lists(st.integers(1, 40), min_size=3, max_size=9),
    st.integers(1, 200),
    st.integers(1, 8),
)
def test_more_work_or_slower_links_never_help(name: str, widths: list[int], rows: int, workers: int) -> None:
    workers = min(workers, len(widths) - 1)
    profile = profile_of(name)

    def predicted(rows: int = rows, machine: Machine = MACHINE, workers: int = workers) -> Prediction:
        split: Sequence[Block] = partition("auto", layer_costs(profile, widths, rows), workers)
        return predict_iteration(profile, widths, rows, split, machine)

    found = predicted()
    assert found.iteration_s <= predicted(machine=replace(MACHINE, bandwidth_bytes_per_s=1e7)).iteration_s
    assert found.iteration_s <= predicted(machine=replace(MACHINE, latency_s=1.0)).iteration_s
    assert found.iteration_s <= predicted(machine=replace(MACHINE, flops_per_s=1e8)).iteration_s
    assert sum(worker.parameters for worker in found.workers) == mlp.num_parameters(widths)
    assert 0 <= found.exposed_share <= 1
    assert predicted(workers=1).exposed_s == 0
    assert max(worker.compute_s + worker.exposed_s for worker in found.workers) <= found.iteration_s * (1 + 1e-12)


def test_state_falls_with_the_workers() -> None:
    widths = [1024] * 17
    one, two = (
        predict_iteration(PDADMM, widths, 4000, partition("even", [1.0] * 16, workers), MACHINE).state_bytes
        for workers in (1, 2)
    )
    assert two <= 0.6 * one


def test_rates_of_this_machine_are_plausible() -> None:
    before = torch.get_num_threads()
    machine = rates.measure(64, 32, 1, link=False, budget=0.01)
    assert 1e6 < machine.flops_per_s < 1e16
    assert 1e6 < machine.memory_bytes_per_s < 1e14
    assert machine.transfer_s(10**9) == 0
    assert torch.get_num_threads() == before


@pytest.mark.dist
def test_the_link_of_this_machine_is_measured() -> None:
    bandwidth, latency = rates.link_rate(1 << 16)
    assert 1e5 < bandwidth < 1e13
    assert 0 < latency < 1


@pytest.mark.dist
def test_rates_of_several_processes_at_once_are_measured() -> None:
    flops, memory = rates.rates_at_once(2, 64, 32, 1)
    assert 1e6 < flops < 1e16
    assert 1e6 < memory < 1e14
