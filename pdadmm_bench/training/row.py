"""How a run ended, as row values: from its steps, and from what stopped it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

Step = dict[str, float]
"""What one iteration gave: ``iteration``, ``iteration_seconds``, ``train_seconds`` (cumulative), the optimizer's report
summed over layers, and on evaluated iterations ``acc_*`` and ``loss_*`` of train, val and test."""

NEAR_BEST = 0.99
"""Share of a run's best validation accuracy that ``time_to_near_best_s`` is the training seconds to."""
PARTS = ("train", "val", "test")
TIMES = ("time_iteration_median_s", "time_iteration_p5_s", "time_iteration_p95_s")


def results_from(history: Sequence[Step], target: float | None, seconds: Mapping[str, float]) -> dict[str, Any]:
    """Row values that the steps of a run give, however far it came; ``seconds`` are the clock's accumulators."""
    steps = [step for step in history if step["iteration"] > 0]
    evaluated = [step for step in steps if "acc_val" in step]
    best = max(evaluated, key=lambda step: step["acc_val"], default={})

    def first(accuracy: float | None) -> Step:
        reached = (step for step in evaluated if accuracy is not None and step["acc_val"] >= accuracy)
        return next(reached, {})

    hit, near = first(target), first(NEAR_BEST * best["acc_val"] if best else None)
    final = evaluated[-1] if evaluated else {}
    times = [step["iteration_seconds"] for step in steps]
    quantiles = np.quantile(times, [0.5, 0.05, 0.95]).tolist() if times else [None] * 3
    return {
        **{f"{kind}_{part}_final": final.get(f"{kind}_{part}") for kind in ("acc", "loss") for part in PARTS},
        "acc_val_best": best.get("acc_val"),
        "acc_test_at_best_val": best.get("acc_test"),
        "acc_best_iteration": best.get("iteration"),
        "iterations": len(steps),
        **dict(zip(TIMES, quantiles, strict=True)),
        "time_train_s": steps[-1]["train_seconds"] if steps else 0.0,
        "time_evaluate_s": seconds.get("evaluate", 0.0),
        "time_log_s": seconds.get("log", 0.0),
        "time_to_target_s": hit.get("train_seconds"),
        "time_to_target_iterations": hit.get("iteration"),
        "time_to_near_best_s": near.get("train_seconds"),
        "time_target_accuracy": target,
    }


def failed(error: BaseException) -> str:
    """``oom`` for memory that ran out, on any device; ``error`` for the rest."""
    text = str(error).lower()
    out_of_memory = isinstance(error, (MemoryError, torch.OutOfMemoryError)) or "can't allocate memory" in text
    return "oom" if out_of_memory else "error"
