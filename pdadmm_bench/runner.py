"""The runner: owns the loop and the clock of one training run, and turns how it ended into a result row.

Training, evaluation and logging are timed apart. Only ``optimizer.step`` is on the training clock; the device is
synchronised before each reading. Warm-up steps run before on a throw-away state, so that the first measured iteration
does not pay for allocating, loading kernels or filling caches.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol

import numpy as np
import torch
from torch.nn import functional

from pdadmm_bench.core import memory, presets
from pdadmm_bench.core.block import Block
from pdadmm_bench.core.clock import Clock
from pdadmm_bench.core.env import cores, environment
from pdadmm_bench.core.errors import UserError
from pdadmm_bench.core.rows import Row, make_row
from pdadmm_bench.core.spec import RunSpec
from pdadmm_bench.data.problem import Problem
from pdadmm_bench.models import mlp
from pdadmm_bench.optim import registry
from pdadmm_bench.optim.base import Links, Optimizer

WARMUP_ITERATIONS = 2

Step = dict[str, float]
"""What one iteration gave: ``iteration``, ``iteration_seconds``, ``train_seconds`` (cumulative), the optimizer's report
summed over layers, and on evaluated iterations ``acc_*`` and ``loss_*`` of train, val and test."""


class Observer(Protocol):
    """Told what happens, off the clock: a tracker, a progress bar."""

    def started(self, spec: RunSpec, facts: Mapping[str, Any]) -> None:
        """Training is about to start; ``facts`` are the row values known by now."""

    def stepped(self, step: Mapping[str, float]) -> None:
        """One iteration is over."""

    def finished(self, row: Row, history: Sequence[Mapping[str, float]]) -> None:
        """The run is over, however it ended; the observer may add what it knows to ``row``."""


@dataclass
class Result:
    """A run's row, its steps, and the exception behind an unsuccessful one."""

    row: Row
    history: list[Step]
    layers: list[mlp.Layer] = field(default_factory=list)
    error: BaseException | None = None


class Stop(Exception):
    """The run is over before its last iteration: (status, reason)."""


def choose_device(wanted: str) -> torch.device:
    """The device for ``--device``; raises :class:`UserError` when ``cuda`` is asked for and absent."""
    if wanted == "cuda" and not torch.cuda.is_available():
        raise UserError(f"--device cuda: torch {torch.__version__} sees no CUDA device; use --device cpu or auto")
    if wanted == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", 0)


def make_optimizer(spec: RunSpec) -> Optimizer:
    """The spec's optimizer with preset and ``set`` applied; raises :class:`UserError` for a bad name, key or value."""
    values = presets.resolve(spec.preset, spec.optimizer, spec.data.dataset, spec.model)
    return registry.get(spec.optimizer).create({**values, **spec.set}, spec.optimizer)


def run(
    spec: RunSpec,
    problem: Problem,
    observers: Sequence[Observer] = (),
    now: Callable[[], float] = time.perf_counter,
) -> Result:
    """Train once; never raises for what happens during training, which is the row's ``status`` instead."""
    return _Run(spec, problem, observers, now).execute()


class _Run:
    def __init__(self, spec: RunSpec, problem: Problem, observers: Sequence[Observer], now: Callable[[], float]):
        self.spec, self.observers = spec, observers
        self.optimizer = make_optimizer(spec)
        self.device = choose_device(spec.device)
        self.threads = spec.threads or max(1, cores() // spec.gpus)
        self.problem = problem.to(self.device)
        self.sizes = mlp.widths(spec.model, problem.num_features, problem.num_classes)
        self.block = Block.whole(spec.model.layers)
        self.clock = Clock(now, self._synchronize)
        self.history: list[Step] = []
        self.state: Any = None

    def _synchronize(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def execute(self) -> Result:
        status, reason = "ok", None
        error: BaseException | None = None
        torch.set_num_threads(self.threads)
        memory.reset_peak()
        initial = mlp.initial_layers(self.spec.model, self.sizes, self.spec.seed, self.block)
        facts = self._facts(initial)
        for observer in self.observers:
            observer.started(self.spec, facts)
        unsupported = self.optimizer.supports(self.spec)
        try:
            if unsupported:
                raise Stop("skipped", unsupported)
            self._train([mlp.Layer(*(t.to(self.device) for t in layer)) for layer in initial])
        except Stop as stop:
            status, reason = stop.args
        except KeyboardInterrupt as interrupt:
            status, reason, error = "interrupted", "stopped by the user", interrupt
        except Exception as failure:
            status, reason, error = _failure(failure), f"{type(failure).__name__}: {failure}", failure
        row = make_row({**facts, **self._results(), "status": status, "status_reason": reason})
        for observer in self.observers:
            observer.finished(row, self.history)
        layers = self.optimizer.layers(self.state) if self.state is not None else []
        return Result(row, self.history, layers, error)

    def _train(self, initial: list[mlp.Layer]) -> None:
        warm = self.optimizer.init(self.problem, initial, self.block, Links())
        for _ in range(WARMUP_ITERATIONS):
            self.optimizer.step(warm)
        del warm
        self.state = self.optimizer.init(self.problem, initial, self.block, Links())
        self._observe({"iteration": 0, "train_seconds": 0.0, **self._evaluate()})
        for iteration in range(1, self.spec.iterations + 1):
            with self.clock.measure("train"):
                self.optimizer.step(self.state)
            step: Step = {
                "iteration": iteration,
                "iteration_seconds": self.clock.last,
                "train_seconds": self.clock.seconds["train"],
            }
            with self.clock.measure("evaluate"):
                step |= {name: sum(terms.tolist()) for name, terms in self.optimizer.report(self.state).items()}
                if iteration % self.spec.eval_every == 0 or iteration == self.spec.iterations:
                    step |= self._evaluate()
                    self.optimizer.evaluated(self.state, step["loss_train"])
            self._observe(step)
            self._check(step)

    def _evaluate(self) -> Step:
        """Accuracy and mean cross-entropy of the three parts."""
        step: Step = {}
        for name, rows in self.problem.parts().items():
            logits = self.optimizer.predict(self.state, rows.x, self.block)
            step[f"acc_{name}"] = float((logits.argmax(1) == rows.y).double().mean())
            step[f"loss_{name}"] = float(functional.cross_entropy(logits, rows.y))
        return step

    def _observe(self, step: Step) -> None:
        self.history.append(step)
        with self.clock.measure("log"):
            for observer in self.observers:
                observer.stepped(step)

    def _check(self, step: Step) -> None:
        """Raise :class:`Stop` when the run should end here."""
        bad = [name for name, value in step.items() if not np.isfinite(value) and name not in ("loss_val", "loss_test")]
        if bad:
            raise Stop("diverged", f"{', '.join(bad)} not finite at iteration {step['iteration']}")
        target, limit = self.spec.target, self.spec.time_limit
        if target is not None and step.get("acc_val", 0.0) >= target:
            raise Stop("target_reached", f"validation accuracy {target:g} at iteration {step['iteration']}")
        if limit is not None and step["train_seconds"] >= limit:
            raise Stop("timeout", f"{limit:g} training seconds used up at iteration {step['iteration']}")

    def _facts(self, initial: list[mlp.Layer]) -> dict[str, Any]:
        """Row values known before training."""
        spec = self.spec
        hyperparameters = self.optimizer.hyperparameters.model_dump()
        return {
            "run_id": uuid.uuid4().hex,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "spec": json.dumps(spec.flat(), ensure_ascii=False),
            "seed": spec.seed,
            **self.problem.facts,
            "dataset_name": self.problem.name,
            "dataset_split": self.problem.split,
            "dataset_sha256": self.problem.sha256,
            "optimizer_name": spec.optimizer,
            "optimizer_preset": spec.preset,
            **{f"optimizer_{name}": value for name, value in hyperparameters.items()},
            "model_layers": spec.model.layers,
            "model_hidden": spec.model.hidden,
            "model_init": spec.model.init,
            "model_parameters": mlp.num_parameters(self.sizes),
            "dist_workers": spec.gpus,
            "dist_device": self.device.type,
            "dist_threads": self.threads,
            "weights_initial_sha256": mlp.combine(mlp.digest(initial)),
            **environment(),
        }

    def _results(self) -> dict[str, Any]:
        """Row values that training gave, as far as it came."""
        steps = [step for step in self.history if step["iteration"] > 0]
        evaluated = [step for step in steps if "acc_val" in step]
        seconds = [step["iteration_seconds"] for step in steps]
        target = self.spec.target
        hit = next((step for step in evaluated if target is not None and step["acc_val"] >= target), None)
        best = max(evaluated, key=lambda step: step["acc_val"], default={})
        final = evaluated[-1] if evaluated else {}
        quantiles = np.quantile(seconds, [0.5, 0.05, 0.95]).tolist() if seconds else [None] * 3
        values = {f"{kind}_{part}_final": final.get(f"{kind}_{part}") for kind in ("acc", "loss") for part in PARTS}
        cuda = self.device.type == "cuda"
        return {
            **values,
            "acc_val_best": best.get("acc_val"),
            "acc_test_at_best_val": best.get("acc_test"),
            "acc_best_iteration": best.get("iteration"),
            "iterations": len(steps),
            **dict(zip(TIMES, quantiles, strict=True)),
            "time_train_s": self.clock.seconds.get("train", 0.0),
            "time_evaluate_s": self.clock.seconds.get("evaluate", 0.0),
            "time_log_s": self.clock.seconds.get("log", 0.0),
            "time_to_target_s": hit["train_seconds"] if hit else None,
            "time_to_target_iterations": hit["iteration"] if hit else None,
            "time_target_accuracy": target,
            "memory_peak_bytes": torch.cuda.max_memory_allocated(self.device) if cuda else memory.peak_bytes(),
            "weights_sha256": mlp.combine(mlp.digest(self.optimizer.layers(self.state))) if self.state else None,
        }


PARTS = ("train", "val", "test")
TIMES = ("time_iteration_median_s", "time_iteration_p5_s", "time_iteration_p95_s")


def _failure(error: Exception) -> str:
    """``oom`` for memory that ran out, on any device; ``error`` for the rest."""
    text = str(error).lower()
    out_of_memory = isinstance(error, (MemoryError, torch.OutOfMemoryError)) or "can't allocate memory" in text
    return "oom" if out_of_memory else "error"
