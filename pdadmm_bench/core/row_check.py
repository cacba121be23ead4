"""What a value of a row may be. Rows are read from files that anybody may have written, cut or edited."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pdadmm_bench.core.errors import short
from pdadmm_bench.core.files import parse_json

TEXT = (
    "run_id", "status", "status_reason", "created", "dataset_name", "dataset_split", "dataset_sha256", "dataset_key",
    "optimizer_name", "optimizer_preset", "optimizer_precision", "model_init", "dist_device", "dist_mesh",
    "dist_partition",
    "weights_initial_sha256", "weights_sha256", "mlflow_run_id", "mlflow_parent_run_id", "suite_version",
    "env_protocol", "env_quiet", "env_denormals", "env_suite", "env_run_key", "env_code", "env_version", "env_torch",
    "env_cpu", "env_gpu",
)  # fmt: skip
NUMBERS = (
    "seed", "iterations", "model_layers", "model_hidden", "model_parameters", "dist_workers", "dist_threads",
    "model_rows_seen", "model_steps",
    "dist_sent_bytes", "dist_reduced_bytes", "env_cores", "env_concurrency", "env_continued_from",
    "speedup", "speedup_low", "speedup_high", "efficiency", "bytes_per_boundary", "n",
)  # fmt: skip
NUMBER_PREFIXES = ("acc_", "loss_", "time_", "memory_")
"""What begins with one of these is a number, or null."""
REQUIRED = ("run_id", "status", "dataset_name", "optimizer_name", "seed", "model_layers", "model_hidden")
"""What every row has, however its run ended."""
SETTINGS = {"dataset": str, "optimizer": str, "layers": int, "hidden": int, "gpus": int}
"""What the settings in ``spec`` have had from the first version on; other settings came later."""


def problems(row: Mapping[str, Any], required: Sequence[str] = REQUIRED) -> Iterator[str]:
    """What is wrong with the values of ``row``, one clause each, which begins with the name of the value."""
    for name in required:
        if row.get(name) is None:
            yield f"{name} is missing"
    for name, value in row.items():
        if value is None:
            continue
        if name in TEXT:
            right = isinstance(value, str)
            wanted = "text"
        elif name in NUMBERS or name.startswith(NUMBER_PREFIXES):
            right = _is_number(value)
            wanted = "a number"
        elif name == "spec":
            settings = _parsed(value)
            right = isinstance(settings, dict) and all(
                type(settings.get(key)) is kind for key, kind in SETTINGS.items()
            )
            wanted = f"text in JSON, of settings with {', '.join(SETTINGS)}"
        elif name == "dist_per_worker":
            right = isinstance(_parsed(value), list)
            wanted = "text in JSON, of a list"
        else:
            right = isinstance(value, (str, bool)) or _is_number(value)
            wanted = "text, a number or a truth value"
        if not right:
            yield f"{name} is {short(value)}, and has to be {wanted}"


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < math.inf and _fits(value)


def _fits(value: float) -> bool:
    return isinstance(value, float) or abs(value) < 1 << 63


def _parsed(text: Any) -> Any:
    """What ``text`` is the JSON of; None for anything else."""
    try:
        return parse_json(text) if isinstance(text, str) else None
    except ValueError:
        return None
