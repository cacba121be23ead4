"""The two forms of the first layer's weights take the same steps, and the spread of rows is what it says."""

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pdadmm_bench.optim.admm import subproblems as sub
from pdadmm_bench.optim.admm.descent import Descent
from pdadmm_bench.optim.admm.products import Products
from pdadmm_bench.optim.admm.sample_space import SampleSpaceWeights
from pdadmm_bench.optim.admm.weights import Weights, first_layer, spread


def random(seed: int, *shapes: tuple[int, ...]) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(*shape, generator=generator, dtype=torch.float64) for shape in shapes]


seeds = st.integers(0, 2**32 - 1)
penalties = st.floats(1e-4, 10)
decays = st.just(0.0) | st.floats(1e-3, 10)  # below, as the docstring of the samples' form says, digits go


@settings(max_examples=25)
@given(seed=seeds, nu=penalties, mu=decays, rows=st.integers(1, 12), features=st.integers(1, 30))
@example(seed=1, nu=1.0, mu=0.0, rows=3, features=1)  # dependent rows, an optimum within the twenty steps
def test_both_forms_of_the_first_layer_take_the_same_steps(seed, nu, mu, rows, features):
    x, W, z, others = random(seed, (rows, features), (4, features), (rows, 4), (7, features))
    by = Descent(sub.exact_step, Products())
    forms = [first_layer(W, x, "features", by), first_layer(W, x, "samples", by)]
    assert isinstance(forms[1], SampleSpaceWeights)
    residuals = [x @ W.T - z for _ in forms]
    loose = mu <= 0.1 * nu  # with little decay, or none, the form of samples loses digits
    for _ in range(20):
        for weights, r in zip(forms, residuals, strict=True):
            weights.descend(by, x, r, torch.zeros(4, dtype=torch.float64), nu, mu)
        torch.testing.assert_close(forms[1].decayed(), forms[0].decayed(), rtol=1e-6, atol=1e-6 if loose else 1e-9)
        torch.testing.assert_close(
            forms[1].image(others), forms[0].image(others), rtol=1e-6, atol=1e-6 if loose else 1e-7
        )
    torch.testing.assert_close(forms[1].matrix(), forms[0].matrix(), rtol=1e-6, atol=1e-6 if loose else 1e-8)
    torch.testing.assert_close(residuals[1], residuals[0], rtol=1e-6, atol=1e-6 if loose else 1e-8)
    torch.testing.assert_close(residuals[1], x @ forms[1].matrix().T - z, rtol=1e-6, atol=1e-6 if loose else 1e-8)


@pytest.mark.parametrize(("rows", "form"), [(5, SampleSpaceWeights), (50, Weights)])
def test_the_cost_model_chooses_the_form(rows, form):
    x, W = random(0, (rows, 20), (4, 20))
    assert isinstance(first_layer(W, x, "auto", Descent(sub.exact_step, Products())), form)


@pytest.mark.parametrize("shape", [(60, 8), (8, 60)])
def test_spread_of_rows_around_a_far_mean_is_that_around_the_mean(shape):
    away = torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    squares = torch.linalg.svdvals(away + 100).square()
    assert spread(away + 100) == pytest.approx(float(squares[1:].sum()) / len(away), rel=1e-9)
    assert spread(away + 100) < 1.1 * float(away.square().sum()) / len(away)
    assert spread(7 * away) == pytest.approx(49 * spread(away))
    assert spread(torch.zeros(shape)) == 0
