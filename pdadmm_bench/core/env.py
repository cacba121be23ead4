"""What machine and code a result comes from."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
from collections.abc import Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from pdadmm_bench import __version__


def cores() -> int:
    """CPU cores this process may use (its affinity, not the machine's total)."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def threads_per_worker(asked: int | None, workers: int) -> int:
    """CPU threads of each of ``workers`` workers on this machine.

    What the user ``asked`` for, else ``OMP_NUM_THREADS``, else the cores divided among the workers, at least one.
    """
    if asked:
        return asked
    variable = os.environ.get("OMP_NUM_THREADS", "")
    return max(1, int(variable) if variable.isdigit() else cores() // workers)


def environment() -> dict[str, str | int | bool | None]:
    """Flat ``env_*`` facts for every result row: code, interpreter, libraries, processor, accelerator.

    The accelerator is known only after torch was imported.
    """
    return {**_fixed(), **_accelerator()}


def machine_class(facts: Mapping[str, Any]) -> str:
    """The class of the machine that ``facts`` (``env_*``) describe, as the name of a folder.

    It joins processor model, number of cores, accelerator and build of torch. Seconds and peak memory of two days may
    be compared only where all of these are equal.
    """
    gpu = facts.get("env_gpu")
    parts = (
        facts.get("env_cpu") or "unknown cpu",
        f"{facts.get('env_cores')} cores",
        f"{facts.get('env_gpu_count')} {gpu}" if gpu else "no gpu",
        f"torch {facts.get('env_torch')}",
    )
    return "-".join(_slug(str(part)) for part in parts)


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9.+]+", "-", re.sub(r"\(r\)|\(tm\)", " ", text.lower())).strip("-")


@cache
def _fixed() -> dict[str, str | int | bool | None]:
    commit, dirty = _git()
    return {
        "env_version": __version__,
        "env_commit": commit,
        "env_dirty": dirty,
        "env_python": platform.python_version(),
        "env_torch": _version("torch"),
        "env_mlflow": _version("mlflow"),
        "env_platform": platform.platform(),
        "env_cpu": _cpu(),
        "env_cores": cores(),
        "env_memory_bytes": _memory(),
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _git() -> tuple[str | None, bool | None]:
    """Commit and dirtiness of the checkout the code runs from; None for an installed package."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None, None
    try:
        answer = [
            subprocess.run(["git", "-C", str(root), *args], capture_output=True, text=True, timeout=10, check=True)
            for args in (["rev-parse", "HEAD"], ["status", "--porcelain"])
        ]
    except (OSError, subprocess.SubprocessError):
        return None, None
    return answer[0].stdout.strip(), bool(answer[1].stdout.strip())


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def _memory() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        return None


def _accelerator() -> dict[str, str | int | None]:
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available():
        return {"env_gpu": None, "env_gpu_count": 0, "env_cuda": None}
    return {
        "env_gpu": torch.cuda.get_device_name(0),
        "env_gpu_count": torch.cuda.device_count(),
        "env_cuda": torch.version.cuda,
    }
