"""The hyperparameters of the optimizers, apart from their code, so that a check of them imports no torch."""

from __future__ import annotations

import importlib

from pdadmm_bench.core import presets
from pdadmm_bench.core.spec import RunSpec
from pdadmm_bench.core.typed import Typed, build

_MODELS = {
    "pdadmm": "admm:PdADMMHyperparameters",
    "pdadmm-q": "admm:PdADMMQHyperparameters",
    "pdadmm-m": "admm:PdADMMMHyperparameters",
    "pdadmm-c": "admm:PdADMMCHyperparameters",
    "dladmm": "admm:DlADMMHyperparameters",
    "pdadmm-reference": "admm:ReferenceHyperparameters",
    "sgd": "gradient:SGDHyperparameters",
    "adam": "gradient:AdamHyperparameters",
    "adagrad": "gradient:AdagradHyperparameters",
    "adadelta": "gradient:AdadeltaHyperparameters",
    "ddg": "gradient:DelayedHyperparameters",
    "fdg": "gradient:DelayedHyperparameters",
}


def model_of(optimizer: str) -> type[Typed] | None:
    """The hyperparameters of ``optimizer``; None where only the optimizer itself has them, as of another package."""
    if optimizer not in _MODELS:
        return None
    module, _, name = _MODELS[optimizer].partition(":")
    model: type[Typed] = getattr(importlib.import_module(f"{__name__}.{module}"), name)
    return model


def check(spec: RunSpec) -> None:
    """Raise :class:`~pdadmm_bench.core.errors.UserError` for a preset, or a key or value of ``set``, that is not valid.

    Those of an optimizer of another package are checked when it is made.
    """
    values = presets.resolve(spec)
    if model := model_of(spec.optimizer):
        build(model, {**values, **spec.set}, f"hyperparameter of {spec.optimizer}:")
