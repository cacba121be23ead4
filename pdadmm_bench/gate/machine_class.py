"""The class of a machine: what two absolute times have to share before anybody may compare them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any


def machine_class(environment: Mapping[str, Any]) -> str:
    """A folder's name from processor model, cores, accelerator and torch build (``env_*`` facts of this machine)."""
    gpu = environment.get("env_gpu")
    accelerator = f"{environment.get('env_gpu_count')} {gpu}" if gpu else "no gpu"
    parts = (
        environment.get("env_cpu") or "unknown cpu",
        f"{environment.get('env_cores')} cores",
        accelerator,
        f"torch {environment.get('env_torch')}",
    )
    return "-".join(_slug(str(part)) for part in parts)


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9.+]+", "-", re.sub(r"\(r\)|\(tm\)", " ", text.lower())).strip("-")
