"""The passes with buffers compute what autograd computes, in fp32 and in bf16, whatever is in flight."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

from pdadmm_bench.core.block import Block
from pdadmm_bench.models import mlp
from pdadmm_bench.models.backprop import Backprop
from pdadmm_bench.models.mlp import Layer

ROWS, WIDTHS = 64, [12, 20, 16, 24, 5]


def network(widths: Sequence[int] = WIDTHS, seed: int = 0) -> list[Layer]:
    generator = torch.Generator().manual_seed(seed)
    return [
        Layer(
            torch.randn(widths[i + 1], widths[i], generator=generator).mul_((2 / widths[i]) ** 0.5).requires_grad_(),
            torch.randn(widths[i + 1], generator=generator).mul_(0.1).requires_grad_(),
        )
        for i in range(len(widths) - 1)
    ]


def classes(rows: int = ROWS, features: int = WIDTHS[0], count: int = WIDTHS[-1]) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    y = torch.arange(rows) % count
    return torch.randn(count, features, generator=generator)[y] + torch.randn(rows, features, generator=generator), y


def by_autograd(layers: list[Layer], block: Block, x: Tensor, weights: Tensor) -> tuple[Tensor, list[Tensor]]:
    """The output, and the gradients of Σ output · ``weights`` with respect to x and all parameters."""
    x = x.clone().requires_grad_()
    output = mlp.forward(layers, x, block)
    return output, list(torch.autograd.grad(output, [x, *(t for layer in layers for t in layer)], weights))


def gradients(layers: list[Layer]) -> list[Tensor]:
    return [t.grad for layer in layers for t in layer if t.grad is not None]


def distance(a: Sequence[Tensor], b: Sequence[Tensor]) -> float:
    """The largest relative distance of two tensors of a pair."""
    return max(float((x - y).norm() / y.norm()) for x, y in zip(a, b, strict=True))


@given(
    widths=st.lists(st.integers(1, 9), min_size=2, max_size=6),
    start=st.integers(0, 4),
    rest=st.integers(0, 2),
    counts=st.lists(st.integers(1, 3), min_size=1, max_size=3),
    rows=st.integers(1, 7),
    seed=st.integers(0, 99),
)
@pytest.mark.slow
def test_any_block_with_any_calls_in_flight(
    widths: list[int], start: int, rest: int, counts: list[int], rows: int, seed: int
) -> None:
    """``counts`` calls go forward, then backward in order, in turn; gradients add up over all of them."""
    block = Block(start, start + len(widths) - 1, start + len(widths) - 1 + rest)
    layers = network(widths, seed)
    passes = Backprop(layers, block)
    generator = torch.Generator().manual_seed(seed)
    for _ in range(2):  # the second time in buffers of the first
        passes.start()
        total: list[Tensor] | None = None
        for count in counts:
            batches = [
                (torch.randn(rows, widths[0], generator=generator), torch.randn(rows, widths[-1], generator=generator))
                for _ in range(count)
            ]
            inputs = [x.clone().requires_grad_() for x, _ in batches]
            outputs = [passes(x) for x in inputs]
            for (x, weights), ours, output in zip(batches, inputs, outputs, strict=True):
                expected, (wanted, *others) = by_autograd(layers, block, x, weights)
                torch.testing.assert_close(output, expected)
                output.backward(weights)
                torch.testing.assert_close(ours.grad, wanted, rtol=1e-4, atol=1e-5)
                total = others if total is None else [a + b for a, b in zip(total, others, strict=True)]
        torch.testing.assert_close(gradients(layers), total, rtol=1e-4, atol=1e-5)


class Products(TorchDispatchMode):
    """Notes the types and shapes of the factors of every matrix product, and the storage of every new tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.factors: list[tuple[torch.dtype, torch.dtype]] = []
        self.made: dict[str, list[int]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        known = {t.untyped_storage().data_ptr() for t in (*args, *(kwargs or {}).values()) if isinstance(t, Tensor)}
        result = func(*args, **(kwargs or {}))
        name = func.__name__.split(".")[0]
        if name in ("mm", "addmm", "addmm_"):
            a, b = args[-2:]
            self.factors.append((a.dtype, b.dtype))
        if isinstance(result, Tensor) and result.untyped_storage().data_ptr() not in known:
            self.made.setdefault(name, []).append(result.numel())
        return result


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_every_product_is_of_the_type_asked_for_and_none_is_of_the_features(dtype: torch.dtype) -> None:
    """Three products a layer, but two in the first, which has no use for the gradient of its input."""
    block = Block.whole(4)
    layers, (x, y) = network(), classes()
    passes = Backprop(layers, block, dtype)
    with Products() as products:
        passes.start()
        functional.cross_entropy(passes(x.to(dtype)), y).backward()
    assert products.factors == [(dtype, dtype)] * (3 * 4 - 1)
    assert all(t.dtype == torch.float32 for t in gradients(layers))


def test_a_step_makes_no_new_array_of_the_activations_size() -> None:
    block = Block.whole(4)
    layers, (x, y) = network(), classes()
    passes = Backprop(layers, block)
    for _ in range(2):
        passes.start()
        functional.cross_entropy(passes(x), y).backward()
    places = [t.data_ptr() for t in gradients(layers)]
    with Products() as products:
        passes.start()
        functional.cross_entropy(passes(x), y).backward()
    logits, smallest_activation = ROWS * WIDTHS[-1], ROWS * min(WIDTHS[1:-1])
    assert logits < smallest_activation
    assert max(size for sizes in products.made.values() for size in sizes) <= logits
    assert [t.data_ptr() for t in gradients(layers)] == places


def test_bf16_is_what_autocast_computes() -> None:
    """Against torch.autocast to rounding; against fp32 within the eight bits of a factor, once per layer."""
    block = Block.whole(4)
    x, y = classes(rows=500)
    ours, autocast, exact = network(), network(), network()
    functional.cross_entropy(Backprop(ours, block, torch.bfloat16)(x.bfloat16()), y).backward()
    with torch.autocast("cpu", torch.bfloat16):
        logits = mlp.forward(autocast, x, block)
    functional.cross_entropy(logits.float(), y).backward()
    functional.cross_entropy(mlp.forward(exact, x, block), y).backward()
    assert distance(gradients(ours), gradients(autocast)) < 1e-3
    assert 2**-10 < distance(gradients(ours), gradients(exact)) < len(block) * 2**-8


def test_weight_gradients_can_come_later_in_any_order() -> None:
    """As a zero-bubble schedule has them: two backward passes of inputs, then the weight gradients of both."""
    x, _ = classes()
    weights = torch.randn(ROWS, WIDTHS[-1], generator=torch.Generator().manual_seed(2))
    whole, split = (Backprop(network(), Block.whole(4), splits=splits) for splits in (False, True))
    whole.start(2)
    split.start(2)
    inputs, later = [], []
    for part, upstream in zip(x.chunk(2), weights.chunk(2), strict=True):
        pair = [part.clone().requires_grad_() for _ in range(2)]
        for net, rows in zip((whole, split), pair, strict=True):
            net(rows).backward(upstream)
        later.append(split.weight_gradients())
        inputs.append(pair)
    assert all(torch.equal(one.grad, other.grad) for one, other in inputs)  # type: ignore[arg-type]
    for add in reversed(later):
        add()
    assert distance(gradients(list(split.layers)), gradients(list(whole.layers))) < 1e-6
    assert (split.passes, split.fresh) == (0, False)
