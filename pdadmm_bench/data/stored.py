"""A problem as a file: in the cache of features, and on its way to the workers of a run."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from pdadmm_bench.core.spec import DataSpec
from pdadmm_bench.data.cache import scratch, writing
from pdadmm_bench.data.problem import Problem, Rows


def write(path: Path, problem: Problem, cache: Path) -> None:
    """Write ``problem`` to ``path`` in the cache, atomically; raises :class:`UserError` where that is not possible."""
    stored: dict[str, Any] = {
        name: getattr(problem, name) for name in ("name", "split", "num_classes", "sha256", "facts", "fan_in")
    }
    stored["rows"] = {part: (rows.x, rows.y) for part, rows in problem.parts().items()}
    if problem.settings is not None:
        stored["settings"] = problem.settings.model_dump()
    with scratch(cache) as folder, writing(cache):
        path.parent.mkdir(parents=True, exist_ok=True)
        with (folder / path.name).open("wb") as file:
            torch.save(stored, file)
        (folder / path.name).replace(path)


def read(path: Path, report: Callable[[str], None]) -> Problem | None:
    """The problem stored at ``path``. None when there is none, or when it is damaged; the damage is reported."""
    if not path.is_file():
        return None
    try:
        with zipfile.ZipFile(path) as archive:  # torch.load does not check the checksums that torch.save wrote
            damaged = archive.testzip()
        if damaged:
            raise zipfile.BadZipFile(f"{damaged} does not match its checksum")
        return _problem(torch.load(path, weights_only=True))
    except Exception as error:  # damaged bytes may raise any exception
        # Not torch's own words, which advise to load the file without its safeguards.
        reason = str(error) if isinstance(error, zipfile.BadZipFile) else type(error).__name__
        report(f"warning: the cached features {path} are damaged ({reason}); computing them anew")
        return None


def mapped(path: Path) -> Problem:
    """The problem that :func:`write` has just stored at ``path``, in memory only where its rows are read."""
    return _problem(torch.load(path, weights_only=True, mmap=True))


def _problem(stored: dict[str, Any]) -> Problem:
    rows: dict[str, Any] = {part: Rows(x=x, y=y) for part, (x, y) in stored.pop("rows").items()}
    settings = stored.pop("settings", None)
    stored["facts"]["dataset_cache_hit"] = True
    return Problem(**stored, **rows, settings=DataSpec(**settings) if settings else None)
