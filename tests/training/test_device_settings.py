"""What a run on a device sets, refuses and keeps precise; shown without one."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from toy import toy_problem, toy_spec

from pdadmm_bench.core.block import Block
from pdadmm_bench.models import mlp
from pdadmm_bench.optim.admm.pdadmm import PdADMM
from pdadmm_bench.optim.admm.pdadmm_q import PdADMMQ
from pdadmm_bench.optim.base import SQUARE_VALUES, Links, in_rows, inner
from pdadmm_bench.optim.compiled import missing_compiler
from pdadmm_bench.parallel.group import Group
from pdadmm_bench.training.setup import resolve
from pdadmm_bench.training.worker import join

PRODUCTS = ("mm", "addmm", "addmm_", "bmm", "baddbmm", "mv")


class ProductPrecision(TorchDispatchMode):
    """Notes for every matrix product whether it may be rounded to tf32."""

    def __init__(self) -> None:
        super().__init__()
        self.rounded: list[bool] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func._schema.name.removeprefix("aten::") in PRODUCTS:
            self.rounded.append(torch.backends.cuda.matmul.allow_tf32)
        return func(*args, **(kwargs or {}))


@pytest.fixture(autouse=True)
def _torch_settings() -> Iterator[None]:
    """Torch's settings are those of before, after every test."""
    matmul = torch.backends.cuda.matmul
    before = matmul.allow_tf32, matmul.allow_bf16_reduced_precision_reduction
    yield
    matmul.allow_tf32, matmul.allow_bf16_reduced_precision_reduction = before


@pytest.mark.parametrize("method", [PdADMM, PdADMMQ])
def test_under_tf32_the_start_and_the_exact_residual_are_precise(method: type[PdADMM]) -> None:
    """A Gram matrix, a start or a residual with a rounding error of tf32 would keep it for the whole run."""
    optimizer = method.create({"refresh": 1, "first_layer": "samples"}, "x")
    spec, problem, block = toy_spec(), toy_problem(), Block.whole(3)
    layers = mlp.initial_layers(spec.model, [12, 8, 8, 3], 0, block)
    torch.backends.cuda.matmul.allow_tf32 = True
    with ProductPrecision() as start:
        state = optimizer.init(problem, layers, block, Links())
    assert start.rounded
    assert not any(start.rounded)
    optimizer.step(state)
    with ProductPrecision() as step:
        optimizer.step(state)
    assert True in step.rounded
    assert False in step.rounded  # the refreshed residual
    assert torch.backends.cuda.matmul.allow_tf32


def test_residuals_are_refreshed_under_tf32_as_under_bf16() -> None:
    optimizer = PdADMM.create({}, "pdadmm")
    periods = {}
    for precision in ("fp32", "tf32", "bf16"):
        optimizer.precision = precision
        periods[precision] = optimizer.refresh_period
    assert periods == {"fp32": 0, "tf32": 25, "bf16": 25}


def test_bf16_products_are_summed_in_float32() -> None:
    torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = True
    join(toy_spec(), toy_problem(), Group())
    assert not torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction


@pytest.mark.parametrize(("device", "deterministic", "expected"), [
    ("cuda", True, ":4096:8"), ("cuda", False, None), ("cpu", True, None),
])  # fmt: skip
def test_a_deterministic_run_on_cuda_has_fixed_workspaces(
    device: str, deterministic: bool, expected: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", "")
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG")
    resolve(toy_spec(deterministic=deterministic), device=torch.device(device))
    assert os.environ.get("CUBLAS_WORKSPACE_CONFIG") == expected


def test_on_a_device_no_large_array_is_copied_to_float64() -> None:
    """The values in float64 at a time; on a CPU the result keeps its bits."""
    large = torch.empty(3 * SQUARE_VALUES + 1, 2, device="meta")
    assert [part.numel() for part, _ in in_rows(large, large)] == [SQUARE_VALUES] * 6 + [2]
    x, y = torch.rand(100, 7), torch.rand(100, 7)
    assert torch.equal(inner(x, y), (x.double() * y.double()).sum())


@pytest.mark.parametrize(("triton", "compiler", "missing"), [
    (False, "gcc", "Triton is not installed"), (True, None, "no C compiler is installed, which Triton needs"),
    (True, "gcc", None), (True, "cc", None),
])  # fmt: skip
def test_compiling_for_a_device_needs_triton_and_a_c_compiler(
    triton: bool, compiler: str | None, missing: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setattr("torch.utils._triton.has_triton", lambda: triton)
    monkeypatch.setattr(shutil, "which", lambda name: name if name == compiler else None)
    assert missing_compiler(torch.device("cuda")) == missing
