"""The base of all entries of a speed file: a network, the rows it is trained on, and the targets of its figures."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field, model_validator

from pdadmm_bench.core.spec import DataSpec, RunSpec, run_spec
from pdadmm_bench.core.typed import Typed
from pdadmm_bench.timing.samples import Samples

if TYPE_CHECKING:  # a file of entries is checked before torch is imported
    from pdadmm_bench.data.problem import Problem
    from pdadmm_bench.timing.profile import OnProgress

REPEATS = 15
SETTINGS = (
    "layers", "hidden", "init", "optimizer", "preset", "set", "precision", "threads", "device", "compile",
    "cuda_graphs", "deterministic",
)  # fmt: skip
"""The settings that an entry passes on to its run."""


@dataclass
class Bench:
    """What a measurement gets from its caller."""

    load: Callable[[DataSpec], Problem]
    on_progress: OnProgress = lambda what, done, total: None
    budget_s: float = 120.0
    """Seconds the reference may take in a profile."""


class Target(Typed):
    """The limit that a figure should keep, from above or from below."""

    most: float | None = None
    least: float | None = None

    @model_validator(mode="after")
    def _one_side(self) -> Target:
        if (self.most is None) == (self.least is None):
            raise ValueError("give either most or least")
        return self

    def met(self, value: float) -> bool:
        """Whether ``value`` keeps the limit."""
        return value <= self.most if self.most is not None else value >= (self.least or 0.0)

    def __str__(self) -> str:
        return f"≤ {self.most:g}" if self.most is not None else f"≥ {self.least:g}"


class SpeedEntry(Typed):
    """Base of every kind of entry: a network on the rows of a dataset, or on generated rows, and how it is trained."""

    figures: ClassVar[tuple[str, ...]]
    """The figures that targets can be set for."""

    name: str = Field(min_length=1)
    dataset: str | None = None
    rows: int | None = Field(None, ge=1)
    features: int = Field(640, ge=1)
    classes: int = Field(40, ge=2)
    layers: int = 10
    hidden: int = 256
    init: str = "he"
    optimizer: str = "pdadmm"
    preset: str = "default"
    set: dict[str, Any] = {}
    precision: str = "fp32"
    threads: int | None = None
    device: str = "auto"
    compile: bool | None = None
    cuda_graphs: bool = False
    deterministic: bool = False
    repeats: int = Field(REPEATS, ge=1)
    targets: dict[str, Target] = {}

    @model_validator(mode="after")
    def _consistent(self) -> SpeedEntry:
        if (self.dataset is None) == (self.rows is None):
            raise ValueError("give either dataset, or rows (with features and classes) for generated data")
        for figure in self.targets:
            if figure not in self.figures:
                raise ValueError(f"no target can be set for {figure!r}; there is: {', '.join(self.figures)}")
        return self

    def spec(self, **changes: Any) -> RunSpec:
        """The run, with ``changes`` by their flat names; raises :class:`UserError` for settings that are not valid."""
        values = {name: getattr(self, name) for name in SETTINGS}
        values |= {"dataset": self.dataset or "sbm", "warm_start": "none"}
        return run_spec({**values, **changes})

    def specs(self) -> list[RunSpec]:
        """Every run of the entry, so that all can be checked before the first."""
        return [self.spec()]

    def problem(self, bench: Bench, rows: int | None = None) -> Problem:
        """The problem of the entry; ``rows`` replaces the entry's number of generated rows."""
        if self.rows is None:
            return bench.load(self.spec().data)
        from pdadmm_bench.timing.generated import generated_problem

        return generated_problem(rows or self.rows, self.features, self.classes)

    @abstractmethod
    def measure(self, bench: Bench, found: Samples) -> None:
        """Measure the figures of the entry and add them to ``found``."""
