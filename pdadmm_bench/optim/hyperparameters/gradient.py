"""What ``--set`` accepts for the gradient methods."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from pdadmm_bench.core.typed import Typed
from pdadmm_bench.optim.hyperparameters.choices import FirstLayerForm


class GradientHyperparameters(Typed):
    """The hyperparameters of every gradient method."""

    lr: float = Field(1e-3, gt=0, description="learning rate")
    weight_decay: float = Field(0.0, ge=0, description="L2 penalty added to the gradient")


class SGDHyperparameters(GradientHyperparameters):
    """As ``torch.optim.SGD`` names them, and the form of the first layer."""

    momentum: float = Field(0.0, ge=0, lt=1, description="heavy-ball momentum")
    first_layer: FirstLayerForm = "auto"


class AdamHyperparameters(GradientHyperparameters):
    """As ``torch.optim.Adam`` names them."""

    beta1: float = Field(0.9, ge=0, lt=1, description="decay of the first moment")
    beta2: float = Field(0.999, ge=0, lt=1, description="decay of the second moment")
    eps: float = Field(1e-8, gt=0, description="added to the denominator")


class AdagradHyperparameters(GradientHyperparameters):
    """As ``torch.optim.Adagrad`` names them."""

    lr_decay: float = Field(0.0, ge=0, description="learning-rate decay")
    eps: float = Field(1e-10, gt=0, description="added to the denominator")


class AdadeltaHyperparameters(GradientHyperparameters):
    """As ``torch.optim.Adadelta`` names them."""

    rho: float = Field(0.9, ge=0, lt=1, description="decay of the squared averages")
    eps: float = Field(1e-6, gt=0, description="added to the denominator")


class DelayedHyperparameters(Typed):
    """Blocks, and the torch optimizer of each; what is not here is at the default of that optimizer."""

    blocks: int = Field(4, ge=1, description="blocks of layers, in even parts; at most one per layer")
    inner: Literal["sgd", "adam", "adagrad", "adadelta"] = Field("adam", description="the torch optimizer of a block")
    lr: float = Field(1e-3, gt=0, description="its learning rate")
    weight_decay: float = Field(0.0, ge=0, description="L2 penalty added to the gradient")
    momentum: float = Field(0.0, ge=0, lt=1, description="heavy-ball momentum of inner = sgd")

    @model_validator(mode="after")
    def _momentum_is_of_sgd(self) -> DelayedHyperparameters:
        if self.momentum and self.inner != "sgd":
            raise ValueError(f"momentum={self.momentum:g} is for inner=sgd, and inner is {self.inner}")
        return self
