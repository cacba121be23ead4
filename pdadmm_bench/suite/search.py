"""Searches for hyperparameters: each optimizer's declared space, and the trials that are drawn from it.

A space is ``runners/tuning/spaces/<optimizer>.toml``, a table per hyperparameter. Trials are the points of Optuna's
quasi-random sequence in it. A search may name a folder of other spaces, for optimizers whose common one does not fit
its problems. Every optimizer gets the same number of trials. They are known before the first run;
neither an interruption nor runs side by side change them.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

from pydantic import Field, model_validator

from pdadmm_bench.core import resources
from pdadmm_bench.core.errors import UserError
from pdadmm_bench.core.typed import Typed, build, read_toml

SPACES = "runners/tuning/spaces"


class Search(Typed):
    """How many settings of each optimizer of an entry are tried, and which."""

    trials: int = Field(ge=1, le=10_000)
    seed: int = Field(0, ge=0)
    spaces: str = Field("", pattern=r"^[a-z0-9-]*$")
    """A folder beside the common spaces; its files stand in the place of those of the same name."""


class Dimension(Typed):
    """One hyperparameter: from a range, from choices, or fixed; multiplied by the value of ``per``, if given."""

    low: float | None = None
    high: float | None = None
    log: bool = False
    choices: list[Any] = []
    value: Any = None
    per: str | None = None

    @model_validator(mode="after")
    def _one_kind(self) -> Dimension:
        ranged = (self.low is not None) + (self.high is not None)
        if ranged == 1 or (ranged == 2) + bool(self.choices) + (self.value is not None) != 1:
            raise ValueError("give low and high, or choices, or value")
        if self.low is not None and self.high is not None and not (0 if self.log else self.low) <= self.low < self.high:
            raise ValueError("low has to be below high, and not negative where log = true")
        return self


def draw(optimizer: str, search: Search) -> list[dict[str, Any]]:
    """The hyperparameters of every trial; raises :class:`UserError` where the optimizer has no valid space.

    The points are Optuna's scrambled Sobol sequence (``optuna.samplers.QMCSampler``); the first one, and choices, are
    drawn uniformly.
    """
    import optuna

    dimensions = _space(optimizer, search.spaces)
    distributions: dict[str, Any] = {}
    for name, dimension in dimensions.items():
        if dimension.choices:
            distributions[name] = optuna.distributions.CategoricalDistribution(dimension.choices)
        elif dimension.low is not None and dimension.high is not None:
            distributions[name] = optuna.distributions.FloatDistribution(
                dimension.low, dimension.high, log=dimension.log
            )
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        sampler = optuna.samplers.QMCSampler(scramble=True, seed=search.seed, warn_independent_sampling=False)
        study = optuna.create_study(sampler=sampler)
    trials = []
    for _ in range(search.trials):
        trial = study.ask(distributions)
        study.tell(trial, 0.0)
        trials.append(_values(dimensions, trial.params))
    return trials


def _space(optimizer: str, folder: str) -> dict[str, Dimension]:
    path = resources.find(f"{SPACES}/{folder}/{optimizer}.toml") if folder else None
    path = path or resources.find(f"{SPACES}/{optimizer}.toml")
    if path is None:
        raise UserError(f"there is no space of hyperparameters for {optimizer!r}; declare {SPACES}/{optimizer}.toml")
    space = {}
    for name, table in read_toml(path).items():
        if not isinstance(table, dict):
            raise UserError(f"{path.name}: {name} = {table!r} is not valid: give a table, such as [{name}]")
        space[name] = build(Dimension, table, f"key of [{name}] in {path.name}:")
    for name, dimension in space.items():
        if dimension.per is not None and (dimension.per not in space or space[dimension.per].per is not None):
            raise UserError(f"{path.name}: {name} is per {dimension.per!r}, which has no table of its own")
    return space


def _values(dimensions: Mapping[str, Dimension], drawn: Mapping[str, Any]) -> dict[str, Any]:
    """The fixed and the drawn values, multiplied by that of ``per``, and rounded to three digits."""
    plain = {name: drawn.get(name, dimension.value) for name, dimension in dimensions.items()}
    factors = {name: plain[dimension.per] if dimension.per else 1 for name, dimension in dimensions.items()}
    return {
        name: float(f"{value * factors[name]:.3g}") if isinstance(value, float) or factors[name] != 1 else value
        for name, value in plain.items()
    }
