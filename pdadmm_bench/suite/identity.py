"""When two runs are the same run: configuration, data and code.

A finished run is not repeated while all three are what they were. The code of a run is the source of the modules that
can change its numbers: the runner, the data layer and the run's own optimizer with whatever they import, but not
another optimizer, nor the command line, tracking and reports.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import json
from functools import cache
from pathlib import Path
from typing import Any

import torch

from pdadmm_bench.core.modules import origin
from pdadmm_bench.core.spec import DataSpec, RunSpec
from pdadmm_bench.data.cards import load_card
from pdadmm_bench.optim import registry
from pdadmm_bench.parallel.layout import profile_of
from pdadmm_bench.training.setup import choose_device, make_optimizer

_ROOTS = ("pdadmm_bench.training.run", "pdadmm_bench.data.load")
#: They tell of a run, find its files or verify them, and compute nothing in it.
_BESIDE = {
    "pdadmm_bench", "pdadmm_bench.core.env", "pdadmm_bench.core.errors", "pdadmm_bench.core.memory",
    "pdadmm_bench.core.registry", "pdadmm_bench.core.rows", "pdadmm_bench.core.resources", "pdadmm_bench.core.typed",
    "pdadmm_bench.core.presets", "pdadmm_bench.data.cache", "pdadmm_bench.data.fetch", "pdadmm_bench.optim",
}  # fmt: skip
_OF_RANDOM_SPLITS = ("split_seed", "train_per_class", "num_val", "num_test")


def effective(spec: RunSpec) -> RunSpec:
    """``spec`` with the settings that do nothing in it at their defaults, so that they do not tell runs apart.

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
    if spec.gpus == 1 or profile_of(spec).parallelism != "pipeline":
        idle |= {"schedule": defaults.schedule, "microbatches": defaults.microbatches}
    kind = _own_split(spec.data.dataset) if spec.data.split == "auto" else spec.data.split
    if kind == "public":
        plain = DataSpec()
        idle["data"] = spec.data.model_copy(update={name: getattr(plain, name) for name in _OF_RANDOM_SPLITS})
    return spec.model_copy(update=idle)


@cache
def _own_split(dataset: str) -> str:
    return load_card(dataset).split.kind


def configuration(spec: RunSpec) -> str:
    """Everything a user can set about ``spec``, as JSON: with the hyperparameters instead of where they come from.

    Raises :class:`~pdadmm_bench.core.errors.UserError` for hyperparameters that the optimizer does not take.
    """
    settings = {name: value for name, value in effective(spec).flat().items() if name not in ("preset", "set")}
    settings["hyperparameters"] = make_optimizer(spec).hyperparameters.model_dump()
    return json.dumps(settings, sort_keys=True, ensure_ascii=False)


def run_key(spec: RunSpec, settings: str, data: str, code: str) -> str:
    """The name of a run, 32 hexadecimal digits.

    Args:
        settings: its :func:`configuration`.
        data: names the rows it sees.
        code: its :func:`code_version`.
    """
    parts = {
        "configuration": settings,
        "data": data,
        "code": code,
        "torch": torch.__version__,
        "device": choose_device(spec.device, spec.gpus).type,
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]


def code_version(optimizer: str) -> str:
    """Hash of the source as it is now on disk that can change the numbers of a run with ``optimizer``."""
    files = code_files(optimizer)
    digests = [f"{name} {hashlib.sha256(path.read_bytes()).hexdigest()}" for name, path in sorted(files.items())]
    return hashlib.sha256("\n".join(digests).encode()).hexdigest()[:16]


@cache
def code_files(optimizer: str) -> dict[str, Path]:
    """The modules behind :func:`code_version` with their files."""
    own = registry.get(optimizer).__module__
    packages = {"pdadmm_bench", own.partition(".")[0]}
    found: dict[str, Path] = {}
    pending = [*_ROOTS, own]
    while pending:
        name = pending.pop()
        if name in found or name in _BESIDE or name.partition(".")[0] not in packages:
            continue
        path = _source(name)
        if path is not None:
            found[name] = path
            pending += _imports(name, path)
    return found


def _source(module: str) -> Path | None:
    """The file of ``module``; None for a name that is not a module, but an attribute of one."""
    package, *parts = module.split(".")
    place = origin(package)  # of the package alone: finding a submodule would import its parents
    if place is None or (parts and place.name != "__init__.py"):
        return None
    place = place.parent.joinpath(*parts) if place.name == "__init__.py" else place.with_suffix("")
    return next((path for path in (place.with_suffix(".py"), place / "__init__.py") if path.is_file()), None)


@cache
def _imports(module: str, path: Path) -> list[str]:
    """Names that may be modules which ``module`` imports, at its top or within a function."""
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    names: list[str] = []
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
            names += [base, *(f"{base}.{alias.name}" for alias in node.names)]
    return names
