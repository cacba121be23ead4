"""Short names that distinguish the runs of a plan."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from pdadmm_bench.core.names import setting_word
from pdadmm_bench.core.spec import RunSpec
from pdadmm_bench.suite.file import DEFAULTS, SETTINGS
from pdadmm_bench.suite.plan import PlannedRun

_NETWORK = ("dataset", "layers", "hidden")
#: Settings that every name has, or that no name has.
_ALWAYS = (*_NETWORK, "optimizer", "seed", "preset")
_SEEDS = ("split_seed",)


class RunLabels:
    """Names for the runs of a plan: optimizer, dataset, network and seed, and whatever else differs among them."""

    def __init__(self, runs: Sequence[PlannedRun]):
        flats = [run.spec.flat() for run in runs]
        varied = [key for key in SETTINGS if len({json.dumps(flat[key]) for flat in flats}) > 1]
        self._keys = [key for key in varied if key not in _ALWAYS]
        # A hyperparameter that follows from dataset and network, through a preset, does not tell runs apart.
        values: dict[tuple[str, str, str], set[str]] = {}
        for run, flat in zip(runs, flats, strict=True):
            others = json.dumps([flat[key] for key in (*_NETWORK, *self._keys) if key not in _SEEDS])
            for key, value in hyperparameters(run).items():
                values.setdefault((run.spec.optimizer, key, others), set()).add(json.dumps(value))
        self._hyper = {(optimizer, key) for (optimizer, key, _), found in values.items() if len(found) > 1}

    def setting(self, run: PlannedRun, workers: bool = False) -> str:
        """The settings in which the run differs from others, without those that have a column of their own.

        Optimizer, dataset, network, seeds and defaults are left out. ``workers``: whether to add the number of workers.
        """
        flat = run.spec.flat()
        shown = [key for key in self._keys if key not in _SEEDS and flat[key] != DEFAULTS[key]]
        parts = [f"{setting_word(key)}={_short(flat[key])}" for key in shown if workers or key != "gpus"]
        own = {key: value for key, value in hyperparameters(run).items() if (run.spec.optimizer, key) in self._hyper}
        return " ".join(parts + [f"{key}={_short(value)}" for key, value in own.items()])

    def full(self, run: PlannedRun) -> str:
        """The run in one line."""
        split = f"split {run.spec.data.split_seed}" if "split_seed" in self._keys else ""
        parts = (run.spec.optimizer, run.spec.data.dataset, network(run.spec), self.setting(run, workers=True), split)
        return " ".join(part for part in (*parts, f"seed {run.spec.seed}") if part)


def hyperparameters(run: PlannedRun) -> dict[str, Any]:
    """The run's hyperparameters after presets."""
    return json.loads(run.settings)["hyperparameters"]


def network(spec: RunSpec) -> str:
    """Layers × units."""
    return f"{spec.model.layers}×{spec.model.hidden}"


def runs(count: int) -> str:
    """``1 run``, ``2 runs``."""
    return "1 run" if count == 1 else f"{count:,} runs"


def _short(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
