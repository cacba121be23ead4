"""What the theory promises of pdADMM's iterates."""

import itertools
from dataclasses import replace

import pytest
import torch

from pdadmm_bench.core.block import Block
from pdadmm_bench.core.spec import ModelSpec, run_spec
from pdadmm_bench.data.problem import Problem, Rows
from pdadmm_bench.models import mlp
from pdadmm_bench.optim import registry
from pdadmm_bench.optim.admm.batching import in_batches
from pdadmm_bench.optim.base import Links
from pdadmm_bench.optim.compiled import missing_compiler
from pdadmm_bench.parallel.layout import ProblemShape
from pdadmm_bench.training import setup
from pdadmm_bench.training.run import run


def problem(seed: int = 0, rows: int = 40, features: int = 12, classes: int = 3) -> Problem:
    generator = torch.Generator().manual_seed(seed)
    y = torch.arange(rows) % classes
    centres = torch.randn(classes, features, generator=generator, dtype=torch.float64)
    x = centres[y] + torch.randn(rows, features, generator=generator, dtype=torch.float64)
    part = Rows(x=x, y=y)
    return Problem(name="toy", split="random", num_classes=classes, train=part, val=part, test=part, sha256="")


def start(
    name: str, layers: int = 5, hidden: int = 16, *, rows: int = 40, precision: str = "fp32", compile: bool = False,
    **values,
):  # fmt: skip
    data, block = problem(rows=rows), Block.whole(layers)
    spec = ModelSpec(layers=layers, hidden=hidden, init="he")
    weights = mlp.initial_layers(spec, mlp.widths(spec, data.num_features, data.num_classes), 0, block)
    weights = [mlp.Layer(layer.weight.double(), layer.bias.double()) for layer in weights]
    optimizer = registry.get(name).create(values, name)
    optimizer.precision, optimizer.compile = precision, compile
    return optimizer, optimizer.init(data, weights, block, Links(wire=optimizer.wire("auto")))


STEPS, BIASES, STARTS = ("layer", "row-unit", "exact-W", "exact"), ("update", "projected"), ("zero", "costate")
MANY_AND_FEW = pytest.mark.parametrize("rows", [40, 6])
"""With six rows the steps of W stay in their span."""
AT_ONCE = [
    ("layer", "update", "zero"), ("row-unit", "projected", "zero"), ("exact", "projected", "zero"),
    ("exact", "update", "costate"),
]  # fmt: skip
"""Rules that the quick tests have."""


@pytest.mark.parametrize(
    ("layers", "decay", "step", "bias", "begin"),
    [
        *((2, "zero", *rule) for rule in AT_ONCE),
        *(
            pytest.param(5, *rule, marks=pytest.mark.slow)
            for rule in itertools.product(("zero", "identity"), STEPS, BIASES, STARTS)
        ),
    ],
)
@MANY_AND_FEW
def test_lagrangian_never_rises_inside_the_theorem_region(rows, layers, decay, step, bias, begin):
    rule = {"decay": decay, "step": step, "bias": bias, "start": begin}
    optimizer, state = start("pdadmm", layers=layers, rows=rows, rho=0.05, nu=0.01, mu=1e-3, **rule)
    values = []
    for _ in range(100):
        optimizer.step(state)
        values.append(optimizer.report(state)["objective"].sum().item())
    rises = [after - before for before, after in itertools.pairwise(values)]
    assert max(rises) <= 1e-9 * abs(values[0])
    assert values[-1] < values[0]


@pytest.mark.parametrize("bias", BIASES)
@pytest.mark.parametrize("step", STEPS)
@MANY_AND_FEW
def test_the_residual_falls_faster_than_one_over_k(rows, step, bias):
    """The theorem's o(1/k): k times the residual goes to zero, for every kind of step."""
    optimizer, state = start("pdadmm", layers=3, rows=rows, rho=0.05, nu=0.01, mu=1e-3, step=step, bias=bias)
    times_k = []
    for k in range(1, 201):
        optimizer.step(state)
        times_k.append(k * optimizer.report(state)["primal_residual"].sum().item())
    assert max(times_k[-20:]) < 0.05 * max(times_k)


@pytest.mark.parametrize("bias", BIASES)
@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("form", ["features", "samples"])
@MANY_AND_FEW
def test_carried_residual_equals_the_recomputed_one(rows, form, step, bias):
    for name in ("pdadmm", "pdadmm-q", "dladmm"):
        optimizer, state = start(name, rows=rows, rho=0.05, nu=0.01, mu=1e-2, first_layer=form, step=step, bias=bias)
        for _ in range(10):
            optimizer.step(state)
        for layer in state.layers:
            torch.testing.assert_close(layer.r, layer.p @ layer.W.T + layer.b - layer.z)


def test_iterates_are_those_of_a_method_that_keeps_the_dual():
    """u is not stored because it equals ν(q − f(z)); a state that does store and update it goes the same way."""
    optimizer, state = start("pdadmm", rho=0.05, nu=0.01)
    _, keeping = start("pdadmm", rho=0.05, nu=0.01)
    for layer in keeping.layers[:-1]:
        layer.u = torch.zeros_like(layer.q)
    for _ in range(20):
        optimizer.step(state)
        optimizer.step(keeping)
    for layer, keeper in zip(state.layers[:-1], keeping.layers[:-1], strict=True):
        assert keeper.u.abs().max() > 0
        torch.testing.assert_close(keeper.u, 0.01 * (layer.q - layer.z.relu()))
        torch.testing.assert_close(layer.W, keeper.W)
    for name, values in optimizer.report(state).items():
        torch.testing.assert_close(values, optimizer.report(keeping)[name])


def test_dual_residual_is_the_change_of_q():
    optimizer, state = start("pdadmm", rho=0.05, nu=0.01)
    for _ in range(3):
        before = [layer.q.clone() for layer in state.layers[:-1]]
        optimizer.step(state)
    wanted = [0.05**2 * (layer.q - q).square().sum() for layer, q in zip(state.layers, before, strict=False)]
    torch.testing.assert_close(optimizer.report(state)["dual_residual"][:-1], torch.stack(wanted))


def test_bf16_residual_stays_close_and_is_refreshed():
    """Rounded products let the carried residual drift; an exact one every few iterations brings it back."""

    def drift(refresh):
        optimizer, state = start("pdadmm", precision="bf16", rho=0.05, nu=0.01, refresh=refresh)
        for _ in range(41):
            optimizer.step(state)
        return max((layer.r - (layer.p @ layer.W.T + layer.b - layer.z)).norm().item() for layer in state.layers)

    assert drift(5) < drift(0) / 2


def test_first_p_update_after_the_feed_forward_start_moves_nothing():
    optimizer, state = start("pdadmm")
    layer, before = state.layers[1], state.layers[1].p.clone()
    optimizer.update_p(layer, optimizer.gap(layer, [state.layers[0].q, state.layers[0].z], state), state)
    assert torch.equal(layer.p, before)


def test_authors_schedule_raises_both_penalties_after_two_stalls_up_to_one():
    optimizer, state = start("pdadmm", rho=0.02, nu=0.01, rho_schedule="authors")
    for cost in (1.0, 0.5):
        optimizer.evaluated(state, {"loss_train": cost})
    optimizer.step(state)
    assert state.rho == 0.02
    for cost in (0.4999, 0.4998):
        optimizer.evaluated(state, {"loss_train": cost})
    optimizer.step(state)
    assert (state.rho, state.nu) == pytest.approx((0.2, 0.1))
    for cost in (0.4998, 0.4998):
        optimizer.evaluated(state, {"loss_train": cost})
    optimizer.step(state)
    assert (state.rho, state.nu) == pytest.approx((1.0, 0.5))


def test_quantised_p_takes_values_of_the_set_only():
    optimizer, state = start("pdadmm-q", rho=0.05, nu=0.01, grid="fixed", low=-1, high=6, levels=8)
    for _ in range(5):
        optimizer.step(state)
    for layer in state.layers[1:]:
        assert set(layer.p.unique().tolist()) <= set(range(-1, 7))


def test_caution_outside_the_theorem_region_only():
    inside, _ = start("pdadmm", rho=0.05, nu=0.01)
    outside, _ = start("pdadmm", rho=0.01, nu=0.01)
    assert inside.cautions() == []
    assert "rho=0.01" in outside.cautions()[0]


@pytest.mark.parametrize("bias", BIASES)
@pytest.mark.parametrize("step", STEPS)
def test_dladmm_objective_never_rises_within_the_sweeps(step, bias):
    """All updates but the dual ascent are minimisations, so with u = 0 and no dual step the objective cannot rise."""
    optimizer, state = start("dladmm", rho=0.05, nu=0.01, mu=1e-3, step=step, bias=bias)
    values = []
    for _ in range(50):
        state.layers[-1].u.zero_()
        before = optimizer.report(state)["objective"].sum().item()
        optimizer.step(state)
        state.layers[-1].u.zero_()
        values.append(optimizer.report(state)["objective"].sum().item() - before)
    assert max(values) <= 1e-9


def test_hidden_weights_decay_toward_what_they_are_told():
    for decay, distances in (("zero", [0, 0, 0, 0]), ("identity", [0, 1, 1, 0])):
        _, state = start("pdadmm", layers=4, hidden=16, rho=0.05, nu=1e-9, mu=10.0, decay=decay)
        optimizer, _ = start("pdadmm", layers=4, hidden=16, rho=0.05, nu=1e-9, mu=10.0, decay=decay)
        optimizer.step(state)  # one exact step goes all the way where nothing but the decay pulls
        for layer, one in zip(state.layers, distances, strict=True):
            wanted = one * torch.eye(*layer.W.shape, dtype=layer.W.dtype)
            torch.testing.assert_close(layer.W, wanted, atol=1e-6, rtol=0)


def test_decay_per_input_grows_with_the_inputs_of_a_layer():
    """One layer after another: in a network of equal widths it is a decay of 12 times μ."""
    common = {"rho": 0.05, "nu": 0.01}
    (optimizer, state), (other, same) = (
        start("pdadmm", hidden=12, **common, mu=mu, mu_per=per) for mu, per in ((1e-3, "input"), (12e-3, "layer"))
    )
    for _ in range(5):
        optimizer.step(state)
        other.step(same)
    for layer, twin in zip(state.layers, same.layers, strict=True):
        torch.testing.assert_close(layer.W, twin.W, rtol=1e-12, atol=0)
    _, wide = start("pdadmm", hidden=30, **common, mu=1e-3, mu_per="input")
    assert [layer.mu for layer in wide.layers] == pytest.approx([12e-3, *[30e-3] * 4])


def test_decay_may_grow_with_the_spread_of_the_features():
    """The mean square of a row without the strongest direction; the other layers keep their number of inputs."""
    common = {"rho": 0.05, "nu": 0.01, "mu": 1e-3}
    _, state = start("pdadmm", hidden=30, **common, mu_per="spread")
    x = state.layers[0].p.double()
    squares = torch.linalg.svdvals(x).square()
    assert [layer.mu for layer in state.layers] == pytest.approx(
        [1e-3 * float(squares[1:].sum()) / len(x), *[30e-3] * 4]
    )


# Every rule in batches of 3 layers; batches of other sizes are taken apart and put together in the same way.
@pytest.mark.parametrize(
    ("size", "decay", "step", "bias"),
    [
        *itertools.product([3], ["zero", "identity"], STEPS, BIASES),
        (2, "identity", "exact", "projected"),
        (100, "identity", "exact", "projected"),
    ],
)
@MANY_AND_FEW
def test_batches_of_equal_layers_take_the_same_steps(rows, size, decay, step, bias):
    values = {"rows": rows, "rho": 0.05, "nu": 0.01, "decay": decay, "step": step, "bias": bias}
    optimizer, state = start("pdadmm", layers=9, **values)
    state.batches = in_batches(state.layers, size)
    single, alone = start("pdadmm", layers=9, **values)
    single.deterministic = True
    for _ in range(20 if step == "layer" else 5):  # rows with small gradients magnify rounding
        optimizer.step(state)
        single.step(alone)
    assert len(state.batches) == {2: 5, 3: 4, 100: 2}[size]
    assert len(alone.batches) == 8
    for layer, other in zip(state.layers, alone.layers, strict=True):
        torch.testing.assert_close(layer.W, other.W)
        torch.testing.assert_close(layer.r, layer.p @ layer.W.T + layer.b - layer.z)
    for name, values in optimizer.report(state).items():
        torch.testing.assert_close(values, single.report(alone)[name])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["pdadmm", "pdadmm-m"])
def test_compiled_passes_take_the_eager_iterates_to_rounding(name):
    optimizer, state = start(name, rho=0.05, nu=0.01)
    compiling, compiled = start(name, compile=True, rho=0.05, nu=0.01)
    for _ in range(5):
        optimizer.step(state)
        compiling.step(compiled)
    for layer, other in zip(state.layers, compiled.layers, strict=True):
        torch.testing.assert_close(other.W, layer.W, rtol=1e-9, atol=1e-12)
        torch.testing.assert_close(other.z, layer.z, rtol=1e-9, atol=1e-12)
    assert compiled.compiled is not None


@pytest.mark.slow
def test_compiled_bf16_follows_eager_bf16():
    """Both add in float32; a last bit that falls the other way is a step of bfloat16 in what is multiplied next."""
    sides = []
    for compiled in (False, True):
        optimizer, state = start("pdadmm", precision="bf16", compile=compiled, rho=0.05, nu=0.01)
        for _ in range(5):
            optimizer.step(state)
        sides.append(state.layers)
    for layer, other in zip(*sides, strict=True):
        assert (layer.W - other.W).norm() < 1e-3 * layer.W.norm()
        assert (layer.z - other.z).norm() < 1e-3 * layer.z.norm()


def test_without_a_compiler_the_row_says_that_nothing_is_compiled(monkeypatch):
    monkeypatch.setattr(setup, "missing_compiler", lambda device: "no C++ compiler is installed")
    spec = run_spec({"layers": 2, "hidden": 8, "iterations": 1, "compile": True, "device": "cpu"})
    data = problem()
    rows = Rows(x=data.train.x.float(), y=data.train.y)
    row = run(spec, replace(data, train=rows, val=rows, test=rows)).row
    assert (row["status"], row["optimizer_compiled"]) == ("ok", False)


@pytest.mark.parametrize(
    ("settings", "rows", "compiled"),
    [
        ({}, 4000, True),
        ({}, 140, False),  # too few rows for the compiler's seconds
        ({"iterations": 20}, 4000, False),
        ({"deterministic": True}, 4000, False),
        ({"compile": False}, 4000, False),
        ({"compile": True}, 140, True),
        ({"optimizer": "adam"}, 4000, False),  # which has nothing to compile
    ],
)
def test_passes_are_compiled_where_that_pays(monkeypatch, settings, rows, compiled):
    monkeypatch.setattr(setup, "missing_compiler", lambda device: None)
    spec = run_spec({"layers": 6, "hidden": 1024, "iterations": 200, "device": "cpu", **settings})
    assert setup.resolve(spec, ProblemShape(rows, (8, *[1024] * 5, 3))).optimizer.compile == compiled


def test_a_missing_compiler_is_noticed():
    import torch._inductor.config as inductor  # takes seconds

    with inductor.patch({"cpp.cxx": (None, "/nowhere/g++")}):  # pytest's monkeypatch leaves no compiler behind
        assert "no C++ compiler" in str(missing_compiler(torch.device("cpu")))
