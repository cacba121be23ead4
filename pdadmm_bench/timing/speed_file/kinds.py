"""The kinds of entries: each is a model of its settings, with the method that measures it.

What measures is imported when it is used, so that a file of entries is checked before torch is imported.
"""

from __future__ import annotations

import gc
import json
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field, model_validator

from pdadmm_bench.core.spec import RunSpec
from pdadmm_bench.optim import REFERENCE
from pdadmm_bench.timing.isolated import Task, run_alone
from pdadmm_bench.timing.samples import Samples
from pdadmm_bench.timing.speed_file.entry import Bench, SpeedEntry

if TYPE_CHECKING:
    from pdadmm_bench.data.problem import Problem
    from pdadmm_bench.timing.subject import Subject


class ProfileEntry(SpeedEntry):
    """An iteration compared with its products, Adam and the reference (:mod:`pdadmm_bench.timing.profile`)."""

    figures = ("iteration_s", "floor_s", "ratio_to_floor", "gflops_per_s", "floor_gflops_per_s", "adam_s",
               "ratio_to_adam", "reference_s", "reference_ratio")  # fmt: skip

    adam: bool = True
    reference: bool = True

    def measure(self, bench: Bench, found: Samples) -> None:
        from pdadmm_bench.timing.profile import profile

        profile(
            self.spec(), self.problem(bench), found, repeats=self.repeats, adam=self.adam, reference=self.reference,
            budget_s=bench.budget_s, on_progress=bench.on_progress,
        )  # fmt: skip


class VersusEntry(SpeedEntry):
    """An iteration in turn with one of the same run under other settings, such as another precision."""

    figures = ("iteration_s", "ratio_to_floor", "other_s", "other_ratio_to_floor", "speedup")

    against: dict[str, Any] = Field(min_length=1)
    """Settings of the other run, by their flat names."""

    def specs(self) -> list[RunSpec]:
        return [self.spec(), self.spec(**self.against)]

    def measure(self, bench: Bench, found: Samples) -> None:
        from pdadmm_bench.timing.in_turn import Contender, alternate
        from pdadmm_bench.timing.matmul_floor import Floor
        from pdadmm_bench.timing.profile import subject_facts
        from pdadmm_bench.timing.subject import Subject

        problem = self.problem(bench)
        ours, theirs = (Subject(spec, problem) for spec in self.specs())
        found.facts |= {**subject_facts(ours), "against": json.dumps(self.against)}
        contenders = {
            "ours": Contender(ours, ours), "our floor": Contender(Floor(ours.eager), ours),
            "theirs": Contender(theirs, theirs), "their floor": Contender(Floor(theirs.eager), theirs),
        }  # fmt: skip
        for done, seconds in enumerate(alternate(contenders, self.repeats), 1):
            found.add(
                iteration_s=seconds["ours"],
                ratio_to_floor=seconds["ours"] / seconds["our floor"],
                other_s=seconds["theirs"],
                other_ratio_to_floor=seconds["theirs"] / seconds["their floor"],
                speedup=seconds["theirs"] / seconds["ours"],
            )
            bench.on_progress("iteration in turn with the other", done, self.repeats)


class LinearEntry(SpeedEntry):
    """The growth of an iteration's time with the number of rows or layers.

    The states of all sizes do not fit into memory together, so each repetition makes the state of every size anew.
    """

    figures = ("slope_s", "linear_deviation", "proportional_deviation")

    vary: Literal["rows", "layers"]
    sizes: list[int] = Field(min_length=3)
    repeats: int = Field(5, ge=1)

    @model_validator(mode="before")
    @classmethod
    def _rows_are_the_sizes(cls, values: dict[str, Any]) -> dict[str, Any]:
        if values.get("vary") == "rows" and isinstance(values.get("sizes"), list) and values["sizes"]:
            return {"rows": max(values["sizes"]), **values}
        return values

    def measure(self, bench: Bench, found: Samples) -> None:
        from pdadmm_bench.timing.in_turn import Contender

        for repeat in range(self.repeats):
            seconds = {}
            for done, size in enumerate(self.sizes if repeat % 2 == 0 else self.sizes[::-1]):
                bench.on_progress(
                    f"{size} {self.vary}", repeat * len(self.sizes) + done, self.repeats * len(self.sizes)
                )
                subject = self._subject(bench, size)
                seconds[size] = Contender(subject, subject).seconds()
                del subject
                gc.collect()
            times = [seconds[size] for size in self.sizes]
            found.add(**growth(self.sizes, times), **{f"iteration_s_{size}": seconds[size] for size in self.sizes})

    def _subject(self, bench: Bench, size: int) -> Subject:
        from pdadmm_bench.timing.subject import Subject

        if self.vary == "layers":
            return Subject(self.spec(layers=size), self.problem(bench))
        return Subject(self.spec(), self.problem(bench, size))


def growth(sizes: Sequence[float], seconds: Sequence[float]) -> dict[str, float]:
    """``slope_s`` of the line fitted to ``seconds`` over ``sizes``, and the worst relative distance of a time from it
    (``linear_deviation``) and from the fitted line through the origin (``proportional_deviation``).

    Both fits are least squares of relative errors.
    """
    x, t = np.asarray(sizes, dtype=float), np.asarray(seconds, dtype=float)
    found = {}
    for name, columns in (("linear", [x, np.ones_like(x)]), ("proportional", [x])):
        design = np.stack(columns, axis=1)
        weights, *_ = np.linalg.lstsq(design / t[:, None], np.ones_like(t), rcond=None)
        found[f"{name}_deviation"] = float(np.abs(t / (design @ weights) - 1).max())
        found.setdefault("slope_s", float(weights[0]))
    return found


class AccuracyEntry(SpeedEntry):
    """Training seconds of a run, and of the literal reference, to the validation accuracy at the reference's end.

    For both, the first iteration with that accuracy counts; the reference may reach it before its end. A run that never
    reaches it is infinitely slow: ``sooner`` is 0.
    """

    figures = ("sooner", "sooner_than_end", "reached_s", "reference_reached_s", "reference_end_s")

    repeats: int = Field(5, ge=1)
    """Seeds: 0, 1, …."""
    iterations: int = Field(200, ge=1)
    reference: dict[str, Any] = {"preset": "published", "init": "normal", "feature_scale": "none"}
    """Settings of the reference's run, by their flat names; by default those that its authors chose."""

    @model_validator(mode="after")
    def _has_validation_rows(self) -> AccuracyEntry:
        if self.dataset is None:
            raise ValueError("an accuracy entry needs a dataset: generated rows have nothing to learn")
        return self

    def literal(self, seed: int = 0) -> RunSpec:
        """The reference's run."""
        plain = {"precision": "fp32", "compile": False, "cuda_graphs": False}
        settings = {"optimizer": REFERENCE, **plain, "set": {}, **self.reference}
        return self.spec(seed=seed, iterations=self.iterations, **settings)

    def specs(self) -> list[RunSpec]:
        return [self.spec(), self.literal()]

    def measure(self, bench: Bench, found: Samples) -> None:
        problem, their_problem, hits = self.problem(bench), bench.load(self.literal().data), 0
        for seed in range(self.repeats):
            bench.on_progress(f"reference, seed {seed}", 2 * seed, 2 * self.repeats)
            theirs = _steps(self.literal(seed), their_problem)
            end = theirs[-1]
            bench.on_progress(f"{self.optimizer}, seed {seed}", 2 * seed + 1, 2 * self.repeats)
            ours = _steps(self.spec(seed=seed, iterations=self.iterations, target=end["acc_val"]), problem)
            reached, reference_reached = (_reached(steps, end["acc_val"]) for steps in (ours, theirs))
            hits += math.isfinite(reached)
            found.facts["hits"] = f"{hits}/{seed + 1}"
            found.add(
                sooner=reference_reached / reached,
                sooner_than_end=end["train_seconds"] / reached,
                reached_s=reached,
                reference_reached_s=reference_reached,
                reference_end_s=end["train_seconds"],
                reference_acc_val=end["acc_val"],
                reference_acc_test=end["acc_test"],
            )


def _steps(spec: RunSpec, problem: Problem) -> list[dict[str, float]]:
    """The steps of a run, without the evaluation of its start; raises the error of the run, if any."""
    from pdadmm_bench.timing.subject import Unsupported
    from pdadmm_bench.training.run import run

    result = run(spec, problem)
    if result.error is not None:
        raise result.error
    if result.row["status"] not in ("ok", "target_reached"):
        raise Unsupported(f"{spec.optimizer} seed {spec.seed}: {result.row['status']}, {result.row['status_reason']}")
    return result.history[1:]


def _reached(steps: Sequence[dict[str, float]], accuracy: float) -> float:
    return next((step["train_seconds"] for step in steps if step["acc_val"] >= accuracy), math.inf)


class MemoryEntry(SpeedEntry):
    """Peak memory of a whole run on generated rows, evaluation included, in a new process."""

    figures = ("memory_peak_bytes", "memory_state_bytes", "iteration_s")

    iterations: int = Field(2, ge=1)
    repeats: int = Field(1, ge=1)

    @model_validator(mode="after")
    def _generated(self) -> MemoryEntry:
        if self.rows is None:
            raise ValueError("a memory entry needs rows: it makes them in the process that it watches")
        return self

    def measure(self, bench: Bench, found: Samples) -> None:
        assert self.rows is not None
        run = self.spec(iterations=self.iterations).flat()
        task = Task(run=run, rows=self.rows, features=self.features, classes=self.classes)
        for repeat in range(self.repeats):
            bench.on_progress("training in a process of its own", repeat, self.repeats)
            row = run_alone(task)
            if row["status"] != "ok":
                raise RuntimeError(f"{row['status']}: {row['status_reason']}")
            found.facts |= {name: row[name] for name in ("dataset_name", "dist_device", "dist_threads")}
            found.add(
                memory_peak_bytes=row["memory_peak_bytes"],
                memory_state_bytes=row["memory_state_bytes"],
                iteration_s=row["time_iteration_median_s"],
            )


KINDS: dict[str, type[SpeedEntry]] = {
    "profile": ProfileEntry, "versus": VersusEntry, "linear": LinearEntry, "accuracy": AccuracyEntry,
    "memory": MemoryEntry,
}  # fmt: skip
