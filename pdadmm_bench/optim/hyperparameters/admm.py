"""What ``--set`` accepts for the ADMM methods."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from pdadmm_bench.core.typed import Typed
from pdadmm_bench.optim.hyperparameters.choices import Bias, Decay, FirstLayerForm, PenaltySchedule, Step


class PdADMMHyperparameters(Typed):
    """Penalties and step rules of pdADMM."""

    rho: float = Field(1e-3, gt=0, description="ρ, penalty of p_{l+1} = q_l")
    nu: float = Field(1e-3, gt=0, description="ν, penalty of the layer equations")
    mu: float = Field(1e-3, ge=0, description="μ, weight decay")
    mu_per: Literal["layer", "input", "spread"] = Field(
        "layer",
        description="input: μ times the number of a layer's inputs, as its penalty ν‖p Wᵀ − z‖² grows with them; "
        "spread: the same, but in the first layer times the spread of the features' rows",
    )
    nu_per: Literal["layer", "depth"] = Field(
        "layer",
        description="depth: ν and ρ times half the number of layers, as the layer equations are springs in series",
    )
    decay: Decay = "zero"
    step: Step = "layer"
    bias: Bias = "update"
    start: Literal["zero", "costate"] = Field(
        "zero",
        description="forces between layers at the start: none, or the gradients of backpropagation, set by a sweep "
        "in the first iteration (with --warm-start none: after a trained start it is destructive)",
    )
    step_rule: Literal["exact", "backtracking"] = Field(
        "exact", description="closed-form majoriser, or the authors' backtracking from 20"
    )
    rho_schedule: PenaltySchedule = "constant"
    first_layer: FirstLayerForm = "auto"
    refresh: int | None = Field(
        None, ge=0, description="iterations between exact residuals, 0 for never (default: 0; bf16, tf32: 25)"
    )

    @model_validator(mode="after")
    def _backtracks_a_layer(self) -> PdADMMHyperparameters:
        if self.step_rule == "backtracking" and self.step != "layer":
            raise ValueError(f"step_rule=backtracking searches one step per layer: use step=layer, not {self.step}")
        return self


class PdADMMMHyperparameters(PdADMMHyperparameters):
    """The hyperparameters of pdADMM; penalties only set the pace, since no equation gives way at a solution."""

    rho: float = Field(1e-2, gt=0, description="ρ, penalty of p_{l+1} = f(z_l)")
    nu: float = Field(1e-2, gt=0, description="ν, penalty of the layer equations")
    step: Step = "exact"
    bias: Bias = "projected"
    start: Literal["zero"] = Field("zero", description="multipliers at the start")
    rho_schedule: Literal["constant"] = Field("constant", description="penalties stay as they are")


class PdADMMQHyperparameters(PdADMMHyperparameters):
    """The hyperparameters of pdADMM, and the set Δ of equally spaced levels."""

    quantize: Literal["p", "q"] = Field("p", description="which variable is restricted to Δ (the paper: p)")
    grid: Literal["scaled", "fixed"] = Field(
        "scaled", description="scaled: low and high are multiples of a layer's largest starting activation"
    )
    low: float = Field(-0.1, description="smallest level")
    high: float = Field(0.5, description="largest level")
    levels: int = Field(256, ge=2, le=65536, description="number of levels; up to 256 travel as one byte")

    @model_validator(mode="after")
    def _ordered(self) -> PdADMMQHyperparameters:
        if self.low >= self.high:
            raise ValueError(f"low={self.low:g} must be below high={self.high:g}")
        return self


class PdADMMCHyperparameters(Typed):
    """Penalty, proximal term and inertia of pdADMM-C."""

    nu: float = Field(
        10.0, gt=0, description="ν, penalty of the layer equations: W goes 1/ν of the way to its fit of −δ"
    )
    mu: float = Field(0.0, ge=0, description="μ, weight decay")
    decay: Decay = "zero"
    damping: float = Field(
        0.03, gt=0, description="proximal term of W, in units of ν and the mean square of the layer's inputs"
    )
    momentum: float = Field(0.0, ge=0, lt=1, description="part of the last step that W and b make again")
    blocks: int = Field(
        1,
        ge=1,
        description="blocks of the network, at most one per layer, that work at once with values of one iteration "
        "before; with 1 all values are new, and workers wait for each other",
    )


class DlADMMHyperparameters(Typed):
    """Penalties of dlADMM."""

    rho: float = Field(1e-3, gt=0, description="ρ, penalty of the output layer's equation")
    nu: float = Field(1e-3, gt=0, description="ν, penalty of the hidden layers' equations")
    mu: float = Field(1e-3, ge=0, description="μ, weight decay")
    decay: Decay = "zero"
    step: Step = "layer"
    bias: Bias = "update"
    first_layer: FirstLayerForm = "auto"


class ReferenceHyperparameters(Typed):
    """Penalties of pdADMM, with the same names as for ``pdadmm``, and the stopping rule of the z_L update."""

    rho: float = Field(1.0, gt=0, description="ρ, penalty of p_{l+1} = q_l")
    nu: float = Field(1.0, gt=0, description="ν, penalty of the layer equations")
    mu: float = Field(1e-3, ge=0, description="μ, weight decay")
    step_rule: Literal["backtracking"] = Field("backtracking", description="backtracking from 20, the only rule")
    rho_schedule: PenaltySchedule = "constant"
    output_steps: int = Field(50, ge=1, description="most steps of accelerated proximal gradient for z_L")
    output_tolerance: float = Field(1e-3, ge=0, description="relative change of z_L at which they stop")
