"""The plan of ``run``: from its options to the runs that they ask for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pdadmm_bench.core.errors import UserError, short
from pdadmm_bench.core.launcher import check_world, launched
from pdadmm_bench.core.options import Output, output_of
from pdadmm_bench.core.spec import RunSpec, run_spec
from pdadmm_bench.optim import contenders, registry


def plan(options: Mapping[str, Any]) -> tuple[Output, list[RunSpec]]:
    """The runs that flat ``options`` ask for, checked as far as is possible without data: seeds × optimizers.

    Under a launcher such as torchrun, the number of workers is that of the launcher.
    """
    output = output_of(options)
    settings = {key: value for key, value in options.items() if key not in Output.model_fields}
    if launched():
        settings["gpus"] = check_world(settings.get("gpus", 1))
    chosen = [name for item in output.optimizer for name in (contenders() if item == "all" else [item])]
    for name in chosen:
        registry.check(name)
    values = by_optimizer(settings.pop("set", {}), chosen)
    specs = [
        run_spec({**settings, "optimizer": name, "seed": seed, "set": values[name]})
        for seed in output.seeds
        for name in dict.fromkeys(chosen)
    ]
    return output, specs


def by_optimizer(assigned: Mapping[str, Any], chosen: Sequence[str]) -> dict[str, dict[str, Any]]:
    """The values of ``set`` of each ``chosen`` optimizer: those for everyone, and its own.

    Raises :class:`UserError` for an optimizer that is unknown or not chosen.
    """
    for key, value in assigned.items():
        if isinstance(value, dict):
            registry.check(key)
            if key not in chosen:
                raise UserError(f"--set {key}.{next(iter(value), '')}: {key} is not among the optimizers of this run")
        elif key in registry.names():
            raise UserError(f"set {key}={short(value)}: an optimizer has hyperparameters, as in --set {key}.lr=1e-3")
    common = {key: value for key, value in assigned.items() if not isinstance(value, dict)}
    return {name: {**common, **assigned.get(name, {})} for name in chosen}
