"""What a run on a device sets, refuses and keeps precise; shown without one."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from toy import Crash, toy_problem, toy_spec

from pdadmm_bench.core.block import Block
from pdadmm_bench.core.errors import UserError
from pdadmm_bench.models import mlp
from pdadmm_bench.optim import registry
from pdadmm_bench.optim.admm import subproblems as sub
from pdadmm_bench.optim.admm.batching import batch_size
from pdadmm_bench.optim.admm.output_layer import output_z_in_steps
from pdadmm_bench.optim.admm.pdadmm import PdADMM
from pdadmm_bench.optim.admm.pdadmm_q import PdADMMQ
from pdadmm_bench.optim.base import SQUARE_VALUES, Links, in_rows, inner
from pdadmm_bench.optim.compiled import compiling_pays, missing_compiler
from pdadmm_bench.optim.create import create_optimizer
from pdadmm_bench.optim.device_constants import constants_from_rates, constants_of
from pdadmm_bench.optim.wire import Wire
from pdadmm_bench.parallel.group import Group
from pdadmm_bench.training.checkpoint import Checkpoints
from pdadmm_bench.training.preflight import check
from pdadmm_bench.training.run import run
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


def test_numbers_too_small_to_matter_are_zero() -> None:
    """A CPU takes many times as long for products with numbers below 1.2e-38; a run computes with none."""
    halved = toy_spec(optimizer="sgd", iterations=140, set={"lr": 0.1, "weight_decay": 5.0, "momentum": 0.0})
    result = run(halved, toy_problem())
    weights = torch.cat([layer.weight.flatten() for layer in result.layers]).abs()
    assert weights.max() < 1e-30, "the decay halves them in every iteration"
    assert not ((weights > 0) & (weights < torch.finfo(torch.float32).tiny)).any()
    assert result.row["env_denormals"] == "flushed"
    assert float(torch.tensor(2e-38) * 0.25) > 0, "the program that made the run computes as before"


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


def test_the_constants_of_a_device_follow_from_its_rates() -> None:
    """A device whose memory is as fast as a launch is slow, and one that launches for nothing."""
    device = constants_from_rates(memory_bytes_per_s=12e9, launch_s=1e-3, compile_s=10.0)
    assert device.batch_values == 1_000_000  # one operation of three arrays takes a millisecond
    saved = 1e6 * 45 * 4 / 12e9 + 20 * 1e-3
    most = int(10.0 / saved)
    assert not device.compiling_pays(rows=10_000, hidden=100, layers=1, iterations=most)
    assert device.compiling_pays(rows=10_000, hidden=100, layers=1, iterations=most + 1)
    assert device.compiling_pays(rows=10_000, hidden=100, layers=2, iterations=most // 2 + 1)
    assert constants_from_rates(12e9, 0.0, 10.0).batch_values == 0


def test_batches_and_compiling_ask_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    spec, cpu, cuda = toy_spec(layers=8, hidden=1000, iterations=2000), torch.device("cpu"), torch.device("cuda")
    assert (constants_of(cpu).batch_values, constants_of(cuda).batch_values) == (1 << 17, 1_250_000)
    assert compiling_pays(spec, 1000, cpu)
    assert not compiling_pays(spec, 1000, cuda)  # two seconds of work on a device
    assert compiling_pays(spec.model_copy(update={"iterations": 20_000}), 1000, cuda)

    layers = [SimpleNamespace(z=torch.empty(1000, 256, device="meta"), wire=Wire(), u=None) for _ in range(9)]
    assert batch_size(layers, len(layers[0].z)) == 4
    layers = [SimpleNamespace(z=torch.empty(1000, 256), wire=Wire(), u=None) for _ in range(9)]
    assert batch_size(layers, len(layers[0].z)) == 1


@pytest.mark.parametrize("name", ["adam", "adadelta"])
@pytest.mark.parametrize("replayed", [False, True])
def test_statistics_are_on_the_device_only_for_a_graph(name: str, replayed: bool) -> None:
    """Elsewhere torch warns that this is slower."""
    optimizer = create_optimizer(toy_spec(optimizer=name, cuda_graphs=replayed))
    (group,) = optimizer.torch_optimizer([torch.zeros(3, requires_grad=True)]).param_groups
    assert group["capturable"] == replayed


def test_a_comparison_replays_all_optimizers_or_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pdadmm_bench.training.preflight.check_device", lambda spec, device: None)
    steady = [toy_spec(optimizer=name, cuda_graphs=True) for name in ("pdadmm", "dladmm", "adam", "sgd", "adadelta")]
    check(steady)
    scheduled = toy_spec(optimizer="pdadmm-q", cuda_graphs=True, set={"rho_schedule": "authors"})
    decaying = toy_spec(optimizer="adagrad", cuda_graphs=True, set={"lr_decay": 0.1})
    with pytest.raises(
        UserError, match=r"replays no iterations of adagrad, pdadmm-q, whose steps are not all the same"
    ):
        check([*steady, scheduled, decaying])
    check([scheduled])  # alone it is a row that says so
    check([spec.model_copy(update={"cuda_graphs": False}) for spec in (*steady, scheduled)])


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


class Ticking:
    """The time of a test: it passes only where something says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 0.001
        return self.now


def test_the_capture_of_a_graph_is_off_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """With stand-ins for CUDA's: a capture of a hundred seconds, and replays that take one."""
    time, replays = Ticking(), []

    class Graph:
        def replay(self) -> None:
            time.now += 1.0
            replays.append(self)

    @contextmanager
    def capture(graph: Graph) -> Iterator[None]:
        time.now += 100.0
        yield

    monkeypatch.setattr(torch.cuda, "CUDAGraph", Graph)
    monkeypatch.setattr(torch.cuda, "graph", capture)
    monkeypatch.setattr("pdadmm_bench.training.worker.check_device", lambda spec, device: None)
    worker = join(toy_spec(cuda_graphs=True, device="cpu"), toy_problem(), Group(), now=time)
    with worker.links() as links:
        worker.start(worker.initial_layers(), links)
        seconds = [worker.timed_step().seconds for _ in range(4)]
    assert time.now > 100
    assert max(seconds) < 2
    assert len(set(replays)) == 1
    assert len(replays) == 3  # the first iteration allocates the buffers


def test_an_iteration_begins_when_all_workers_are_there() -> None:
    """A worker that is late to an iteration lengthens nobody's."""
    time = Ticking()

    class Late(Group):
        def barrier(self) -> None:
            time.now += 50.0

    worker = join(toy_spec(), toy_problem(), Late(), now=time)
    with worker.links() as links:
        worker.start(worker.initial_layers(), links)
        assert worker.timed_step().seconds < 1
    assert time.now > 50


class Questions(TorchDispatchMode):
    """Notes every operation whose result the host asks for, during which it waits for a device."""

    ASKED = ("_local_scalar_dense", "equal", "is_nonzero", "nonzero", "masked_select", "unique")

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func._schema.name.removeprefix("aten::")
        if name in self.ASKED:
            self.asked.append(name)
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("name", [name for name in registry.names() if name != "pdadmm-reference"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_host_asks_a_device_nothing_in_a_step(name: str, precision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the output layer's update of a device."""

    def output_z(a: Any, y: Any, nu: float, z_old: Any, out: Any, scratch: Any = None) -> Any:
        return out.copy_(output_z_in_steps(a, y, nu, z_old))

    monkeypatch.setattr(sub, "output_z", output_z)
    spec, problem, block = toy_spec(optimizer=name), toy_problem(), Block.whole(3)
    optimizer = create_optimizer(spec)
    if precision not in optimizer.precisions:
        pytest.skip("it has no such precision")
    optimizer.precision = precision
    layers = mlp.initial_layers(spec.model, [12, 8, 8, 3], 0, block)
    state = optimizer.init(problem, layers, block, Links(wire=optimizer.wire("auto")))
    optimizer.step(state)
    with Questions() as questions:
        optimizer.step(state)
        assert questions.asked == []
        float(torch.ones(()))
        assert questions.asked == ["_local_scalar_dense"]  # that a question is noticed


def test_a_checkpoint_is_read_on_the_cpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Read to the device, its copy would be there beside the state."""
    checkpoints, load, places = Checkpoints(tmp_path, 1e-9, lambda name: ""), torch.load, []

    def noted(*args: Any, **kwargs: Any) -> Any:
        places.append(kwargs.get("map_location"))
        return load(*args, **kwargs)

    run(toy_spec(), toy_problem(), [Crash(at=7)], checkpoints=checkpoints)
    monkeypatch.setattr(torch, "load", noted)
    assert run(toy_spec(), toy_problem(), checkpoints=checkpoints).row["env_continued_from"] == 6
    assert places == ["cpu"]
