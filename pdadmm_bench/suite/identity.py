"""When two runs are the same run: configuration, data and code.

A finished run is not repeated while all three are what they were; :mod:`pdadmm_bench.training.code_version` says what
counts as the code of a run.
"""

from __future__ import annotations

import hashlib
import json
from functools import cache
from typing import Any

import torch

from pdadmm_bench.core.spec import DataSpec, RunSpec
from pdadmm_bench.data.catalog import load_card
from pdadmm_bench.data.splits import idle_settings
from pdadmm_bench.optim.create import create_optimizer
from pdadmm_bench.training.setup import resolve


def effective(spec: RunSpec) -> RunSpec:
    """``spec`` with those settings at their defaults that have no effect in it, so that they do not tell runs apart.

    A public split has no seed and no counts, one worker no partition and no schedule, and a method without a pipeline
    no schedule either. A network of two layers has no warm start.
    """
    defaults = RunSpec()
    idle: dict[str, Any] = {}
    if not spec.stages():
        idle |= {"deepening": defaults.deepening}
    if spec.model.layers == 2:
        idle |= {"warm_start": defaults.warm_start}
    if spec.gpus == 1:
        idle |= {"partition": defaults.partition}
    if spec.gpus == 1 or create_optimizer(spec).cost_profile.parallelism != "pipeline":
        idle |= {"schedule": defaults.schedule, "microbatches": defaults.microbatches}
    plain = DataSpec()
    others = idle_settings(_own_split(spec.data.dataset) if spec.data.split == "auto" else spec.data.split)
    idle["data"] = spec.data.model_copy(update={name: getattr(plain, name) for name in others})
    return spec.model_copy(update=idle)


@cache
def _own_split(dataset: str) -> str:
    return load_card(dataset).split.kind


def configuration(spec: RunSpec) -> str:
    """Everything a user can set about ``spec``, as JSON: with the hyperparameters instead of where they come from.

    Raises :class:`~pdadmm_bench.core.errors.UserError` for hyperparameters that the optimizer does not take.
    """
    settings = {name: value for name, value in effective(spec).flat().items() if name not in ("preset", "set")}
    settings["hyperparameters"] = create_optimizer(spec).hyperparameters.model_dump()
    return json.dumps(settings, sort_keys=True, ensure_ascii=False)


def run_key(spec: RunSpec, settings: str, data: str, code: str) -> str:
    """The name of a run, 32 hexadecimal digits.

    Args:
        settings: its :func:`configuration`.
        data: names the rows it sees.
        code: its :func:`~pdadmm_bench.training.code_version.code_version`.
    """
    parts = {
        "configuration": settings,
        "data": data,
        "code": code,
        "torch": torch.__version__,
        "device": resolve(spec).device.type,
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]
