"""Decides when two runs are the same run: when configuration, data, code, torch and device are equal.

A finished run is not repeated while all of these are unchanged; :mod:`pdadmm_bench.training.code_version` defines what
counts as the code of a run. Torch is imported only when a run is identified: a file with a mistake is refused before.
"""

from __future__ import annotations

import hashlib
import json
from functools import cache
from typing import Any

from pdadmm_bench.core.spec import EARLIER, LATER, DataSpec, RunSpec, mesh_name
from pdadmm_bench.data.catalog import load_card


def effective(spec: RunSpec) -> RunSpec:
    """``spec`` with every setting that has no effect in it at its default, so that it does not distinguish runs.

    A public split has no seed and no counts, and each other kind of split has its own settings. One worker has no
    partition and no schedule; nor has one along the layers. A method without a pipeline has no schedule. A network of
    two layers has no warm start. A mesh has one name.
    """
    from pdadmm_bench.data.splits import idle_settings
    from pdadmm_bench.optim.create import create_optimizer

    defaults = RunSpec()
    idle: dict[str, Any] = {}
    if not spec.stages():
        idle |= {"deepening": defaults.deepening}
    if spec.model.layers == 2:
        idle |= {"warm_start": defaults.warm_start}
    axes = spec.axes()
    if axes is not None:
        idle |= {"mesh": defaults.mesh if axes[1] == 1 else mesh_name(*axes)}
    along_layers = spec.gpus if axes is None else axes[0]
    if along_layers == 1:
        idle |= {"partition": defaults.partition}
    if along_layers == 1 or create_optimizer(spec).cost_profile.parallelism != "pipeline":
        idle |= {"schedule": defaults.schedule, "microbatches": defaults.microbatches}
    plain = DataSpec()
    others = idle_settings(_own_split(spec.data.dataset) if spec.data.split == "auto" else spec.data.split)
    idle["data"] = spec.data.model_copy(update={name: getattr(plain, name) for name in others})
    return spec.model_copy(update=idle)


@cache
def _own_split(dataset: str) -> str:
    return load_card(dataset).split.kind


def configuration(spec: RunSpec) -> str:
    """All settings of ``spec`` as JSON, with the resolved hyperparameters in place of ``preset`` and ``set``.

    Raises :class:`~pdadmm_bench.core.errors.UserError` for hyperparameters that the optimizer does not take.
    """
    from pdadmm_bench.optim.create import create_optimizer

    flat = effective(spec).flat()
    left_out = {"preset", "set", *(name for name in LATER if flat[name] == EARLIER[name])}
    settings = {name: value for name, value in flat.items() if name not in left_out}
    settings["hyperparameters"] = create_optimizer(spec).hyperparameters.model_dump()
    return json.dumps(settings, sort_keys=True, ensure_ascii=False)


def run_key(spec: RunSpec, settings: str, data: str, code: str) -> str:
    """The name of a run, 32 hexadecimal digits.

    Args:
        settings: its :func:`configuration`.
        data: the key of the rows that it uses.
        code: its :func:`~pdadmm_bench.training.code_version.code_version`.
    """
    import torch

    from pdadmm_bench.training.setup import resolve

    parts = {
        "configuration": settings,
        "data": data,
        "code": code,
        "torch": torch.__version__,
        "device": resolve(spec).device.type,
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]
