"""What a neighbour gets is what the layer itself would have seen."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pdadmm_bench.optim.wire import BFloat16, Codes, Wire


def sample(seed: int) -> torch.Tensor:
    return 8 * torch.randn(50, 3, generator=torch.Generator().manual_seed(seed))


def travel(wire: Wire, x: torch.Tensor) -> torch.Tensor:
    payload = torch.empty(x.shape, dtype=wire.dtype)
    wire.encode(x, payload)
    return wire.decode(payload)


@given(seed=st.integers(0, 2**32 - 1), levels=st.integers(2, 65536), low=st.floats(-5, 0), width=st.floats(0.1, 30))
def test_codes_arrive_as_they_would_have_been_rounded_and_rounding_is_idempotent(seed, levels, low, width):
    wire = Codes.of(low, low + width, levels)
    x = sample(seed)
    rounded = wire.round(x)
    assert torch.equal(travel(wire, x), rounded)
    assert torch.equal(wire.round(rounded), rounded)
    assert torch.equal(travel(wire, rounded), rounded)


@given(seed=st.integers(0, 2**32 - 1), levels=st.integers(2, 300), low=st.floats(-5, 0), width=st.floats(0.1, 30))
def test_rounding_goes_to_the_nearest_level(seed, levels, low, width):
    x = sample(seed).numpy().ravel()
    grid = np.linspace(low, low + width, levels)
    rounded = Codes.of(low, low + width, levels).round(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(np.abs(x - rounded), np.abs(x[:, None] - grid).min(1), atol=1e-4)


@pytest.mark.parametrize(("levels", "size"), [(2, 1), (256, 1), (257, 2), (65536, 2)])
def test_codes_take_one_byte_up_to_256_levels_and_two_beyond(levels, size):
    assert Codes.of(0.0, 1.0, levels).dtype.itemsize == size


@pytest.mark.parametrize("wire", [Wire(), BFloat16()])
def test_floats_arrive_as_rounded(wire):
    x = sample(0)
    assert torch.equal(travel(wire, x), wire.round(x))
    torch.testing.assert_close(wire.round(x), x, rtol=2**-8, atol=0)
