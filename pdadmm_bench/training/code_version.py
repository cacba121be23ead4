"""The code version of a run: a hash of the source of every module that can change its numbers.

These modules are the runner, the data layer and the run's own optimizer, with all that they import. Other optimizers,
the command line, tracking and reports are not among them.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
from functools import cache
from pathlib import Path

from pdadmm_bench.core.modules import origin
from pdadmm_bench.optim import registry

ROOTS = ("pdadmm_bench.training.run", "pdadmm_bench.data.load")
"""Where the search for modules begins, beside the run's own optimizer."""
LEFT_OUT = {
    "pdadmm_bench", "pdadmm_bench.core.env", "pdadmm_bench.core.errors", "pdadmm_bench.core.memory",
    "pdadmm_bench.core.registry", "pdadmm_bench.core.rows", "pdadmm_bench.core.resources", "pdadmm_bench.core.typed",
    "pdadmm_bench.core.presets", "pdadmm_bench.data.cache", "pdadmm_bench.data.fetch", "pdadmm_bench.data.stage",
    "pdadmm_bench.optim",
    "pdadmm_bench.training.observer",
}  # fmt: skip
"""Modules that report a run, or find or verify its files, and compute nothing in it."""


def code_version(optimizer: str) -> str:
    """Hash of the source, as it is on the disk now, that can change the numbers of a run with ``optimizer``."""
    files = code_files(optimizer)
    digests = [f"{name} {hashlib.sha256(path.read_bytes()).hexdigest()}" for name, path in sorted(files.items())]
    return hashlib.sha256("\n".join(digests).encode()).hexdigest()[:16]


@cache
def code_files(optimizer: str) -> dict[str, Path]:
    """The modules behind :func:`code_version` with their files."""
    own = registry.get(optimizer).__module__
    packages = {"pdadmm_bench", own.partition(".")[0]}
    found: dict[str, Path] = {}
    pending = [*ROOTS, own]
    while pending:
        name = pending.pop()
        if name in found or name in LEFT_OUT or name.partition(".")[0] not in packages:
            continue
        path = source(name)
        if path is not None:
            found[name] = path
            pending += _imports(name, path)
    return found


def source(module: str) -> Path | None:
    """The file of ``module``; None for a name that is not a module but an attribute of one."""
    package, *parts = module.split(".")
    place = origin(package)  # of the package alone: finding a submodule would import its parents
    if place is None or (parts and place.name != "__init__.py"):
        return None
    place = place.parent.joinpath(*parts) if place.name == "__init__.py" else place.with_suffix("")
    return next((path for path in (place.with_suffix(".py"), place / "__init__.py") if path.is_file()), None)


@cache
def _imports(module: str, path: Path) -> list[str]:
    """Names, possibly of modules, that ``module`` imports at its top or within a function."""
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    names: list[str] = []
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
            names += [base, *(f"{base}.{alias.name}" for alias in node.names)]
    return names
