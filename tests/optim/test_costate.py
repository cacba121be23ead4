"""The costate start: after it, the forces between layers are the gradients that backpropagation has."""

import pytest
import torch
from test_pdadmm import problem, start

NU, RHO = 0.5, 2.5


def forward(state) -> list[torch.Tensor]:
    """Pre-activations of the network at its weights, as leaves of autograd's graph."""
    p, found = state.layers[0].p, []
    for layer in state.layers:
        a = p @ layer.W.T + layer.b
        found.append(a.requires_grad_() if not found else a)
        p = a.relu()
    return found


@pytest.mark.parametrize("first_layer", ["features", "samples"])
@pytest.mark.parametrize("layers", [2, 5])
def test_forces_are_the_gradients_of_autograd(layers, first_layer):
    """Of the risk with the output eased by ν, min_z R(z) + (ν/2)‖z − a_L‖², whose gradient at a_L is ∂R/∂z at z_L."""
    from pdadmm_bench.optim.admm import costate

    optimizer, state = start("pdadmm", layers=layers, nu=NU, rho=RHO, first_layer=first_layer)
    a = forward(state)
    costate.start(state, optimizer.placed)
    with torch.no_grad():  # z_L of the feed-forward network, from its force
        z = a[-1] - state.layers[-1].r
    z.requires_grad_()
    risk = torch.nn.functional.cross_entropy(z, state.y, reduction="sum")
    (output,) = torch.autograd.grad(risk, z)
    wanted = [*torch.autograd.grad(a[-1], a[:-1], grad_outputs=output, retain_graph=True), output]
    for layer, force in zip(state.layers, wanted, strict=True):
        torch.testing.assert_close(NU * layer.r, force)
        torch.testing.assert_close(layer.r, layer.p @ layer.W.T + layer.b - layer.z)
    for layer, following in zip(state.layers, state.layers[1:], strict=False):
        assert torch.equal(following.p, layer.q)
        torch.testing.assert_close(NU * (layer.q - layer.z.relu()), -NU * following.r @ following.W)


def test_no_p_wants_to_move_after_the_start_and_the_weights_do():
    from pdadmm_bench.optim.admm import costate

    optimizer, state = start("pdadmm", nu=NU, rho=RHO)
    costate.start(state, optimizer.placed)
    before = [layer.p.clone() for layer in state.layers]
    for layer, previous in zip(state.layers[1:], state.layers, strict=False):
        gradient = NU * layer.r @ layer.W + RHO * optimizer.gap(layer, previous.variables(), state)
        torch.testing.assert_close(gradient, torch.zeros_like(gradient), atol=1e-12, rtol=0)
    optimizer.step(state)
    assert all((layer.p - p).norm() < 1e-9 * p.norm() for layer, p in zip(state.layers, before, strict=True))
    _, unmoved = start("pdadmm", nu=NU, rho=RHO)
    assert all((layer.W - old.W).norm() > 1e-6 for layer, old in zip(state.layers, unmoved.layers, strict=True))


@pytest.mark.parametrize("values", [{"quantize": "p"}, {"quantize": "q", "high": 5.0}])
def test_quantised_methods_start_with_their_own_variables(values):
    """p on its levels, with the same forces; or the dual that is kept."""
    from pdadmm_bench.optim.admm import costate

    optimizer, state = start("pdadmm-q", nu=NU, rho=RHO, **values)
    costate.start(state, optimizer.placed)
    for layer, following in zip(state.layers, state.layers[1:], strict=False):
        torch.testing.assert_close(following.r, following.p @ following.W.T + following.b - following.z)
        if values["quantize"] == "p":
            torch.testing.assert_close(following.p, following.wire.round(following.p))
        else:
            torch.testing.assert_close(layer.u, -NU * following.r @ following.W)
    optimizer.step(state)
    assert all(bool(layer.W.isfinite().all()) for layer in state.layers)


def test_the_start_happens_once_and_a_snapshot_goes_on_after_it(tmp_path):
    optimizer, state = start("pdadmm", nu=NU, rho=RHO, start="costate")
    for _ in range(2):
        optimizer.step(state)
    torch.save(optimizer.snapshot(state), tmp_path / "state.pt")
    optimizer.step(state)
    _, again = start("pdadmm", nu=NU, rho=RHO, start="costate")
    optimizer.restore(again, torch.load(tmp_path / "state.pt", weights_only=True))
    optimizer.step(again)
    assert all(torch.equal(a.W, b.W) for a, b in zip(state.layers, again.layers, strict=True))
    assert torch.equal(problem().train.x, state.layers[0].p)
