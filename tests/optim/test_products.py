"""Matrix products in bfloat16, and sums of squares in float64."""

import pytest
import torch

from pdadmm_bench.optim import base
from pdadmm_bench.optim.admm.products import Products


def random(seed: int, *shapes: tuple[int, ...]) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(*shape, generator=generator, dtype=torch.float64) for shape in shapes]


def test_bf16_products_are_close_and_leave_the_type_alone():
    a, b = (t.float() for t in random(0, (30, 20), (20, 10)))
    out = Products("bf16").mm(a, b, torch.empty(30, 10))
    assert out.dtype == torch.float32
    assert 0 < (out - a @ b).norm() / (a @ b).norm() < 2**-7
    added = Products("bf16").add(torch.ones(20, 10), a.T, out, beta=2.0, alpha=3.0)
    torch.testing.assert_close(added, 2 + 3 * a.T @ out, rtol=0.05, atol=0.5)


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.slow
def test_a_bf16_step_goes_along_the_rounded_direction_that_was_multiplied(compiled):
    p, gap, r, W = (t.float() for t in random(0, (300, 20), (300, 20), (300, 10), (10, 20)))
    products = Products("bf16", compile=compiled)
    assert products.compiled == compiled
    direction = products.direction(gap.clone(), r, W, beta=0.5, alpha=0.1)
    assert direction.dtype == torch.bfloat16
    wanted = 0.5 * gap + 0.1 * r @ W
    assert 0 < (direction - wanted).norm() / wanted.norm() < 2**-7
    image = products.image(direction, W.T)
    before = p.clone()
    products.move(p, direction, torch.tensor(0.3))
    torch.testing.assert_close(p, before - 0.3 * direction.float(), rtol=1e-6, atol=1e-6)
    assert (image - (before - p) @ W.T / 0.3).norm() / image.norm() < 2**-7


def test_a_square_in_float64_copies_only_a_part(monkeypatch) -> None:
    monkeypatch.setattr(base, "SQUARE_VALUES", 1000)
    x = torch.randn(70, 100, generator=torch.Generator().manual_seed(0))
    with torch.profiler.profile(profile_memory=True) as record:
        found = base.square(x)
    events = record.profiler.kineto_results.events()
    assert max(event.nbytes() for event in events if event.name() == "[memory]") == 1000 * 8
    assert found.dtype == torch.float64
    assert float(found) == pytest.approx(float(x.double().square().sum()), rel=1e-14)
