"""The contract of an optimizer, and the links through which it exchanges tensors with neighbouring workers.

An optimizer trains the layers of one :class:`~pdadmm_bench.core.block.Block`. The runner owns the loop and the clock.
It calls ``init`` once, ``step`` on the clock, and ``report`` and ``predict`` off the clock. One step is an ADMM sweep
or a full-batch gradient step; the runner treats both alike.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import Any, ClassVar, Generic, Protocol, TypeVar

import torch
from torch import Tensor
from torch.nn import functional

from pdadmm_bench.core.block import Block
from pdadmm_bench.core.spec import RunSpec
from pdadmm_bench.core.typed import Typed, build
from pdadmm_bench.data.problem import Problem
from pdadmm_bench.models import mlp
from pdadmm_bench.models.backprop import Backprop
from pdadmm_bench.models.mlp import Layer
from pdadmm_bench.optim.cost import PDADMM, CostProfile
from pdadmm_bench.optim.reduction import AllRows, Reduction
from pdadmm_bench.optim.wire import Wire


class Link(Protocol):
    """A neighbour, with which tensors of shape (N, n) are exchanged in order.

    Within an iteration: ``send``, and one ``post_receive`` per tensor before ``receive``, in the ``wire`` format. For
    starts and evaluation: ``send_now`` and ``receive_now``, in float32.
    """

    wire: Wire

    def send(self, tensor: Tensor) -> None:
        """Start sending ``tensor``; the caller may overwrite it afterwards."""

    def post_receive(self) -> None:
        """Start receiving the neighbour's next tensor; posted early, it arrives while the worker computes."""

    def receive(self) -> Tensor:
        """The tensor of the posted receive, valid until the next ``receive``."""

    def send_now(self, tensor: Tensor) -> None:
        """Send ``tensor`` unchanged; return when it is sent."""

    def receive_now(self, rows: int) -> Tensor:
        """The tensor of ``rows`` rows that the neighbour sends with ``send_now``."""


class Pipeline(Protocol):
    """Forward and backward passes of one block, in a schedule with the blocks before and after it."""

    passes: int
    """Backward passes in a step, after which the gradients are complete."""

    def step(self) -> Tensor:
        """Set the gradients of the mean training loss in the parameters; return the loss on the last block, else 0."""


class PipelineFactory(Protocol):
    """Makes the pipeline whose stage here is ``network``."""

    def __call__(self, network: Backprop, problem: Problem) -> Pipeline:
        """The pipeline."""


@dataclass(frozen=True)
class Links:
    """The neighbours of a block along the layers, None where the network ends, and along the rows; how tensors travel.

    A worker holds the layers of its block for its part of the training rows, which is what ``problem.train`` has. The
    mean over training rows, and every sum over them, is one of ``reduce``.
    """

    left: Link | None = None
    right: Link | None = None
    wire: Wire = field(default_factory=Wire)
    pipeline: PipelineFactory | None = None
    reduce: Reduction = field(default_factory=AllRows)
    """The workers with the other rows of the block."""


SQUARE_VALUES = 1 << 22
"""Values that :func:`square` converts to float64 at a time."""

Report = dict[str, Tensor]
"""Name → one float64 value per layer of the block, for the worker's rows. The runner sums the values over layers and
rows, in order; what is the same for all rows, such as ‖W‖², is reported where ``links.reduce.index`` is 0."""


StateT = TypeVar("StateT")


class Optimizer(ABC, Generic[StateT]):
    """Base of every optimizer; a subclass is one file and one registry line."""

    summary: ClassVar[str]
    """One line for ``pdadmm-bench list optimizers``."""
    Hyperparameters: ClassVar[type[Typed]]
    """What ``--set`` accepts, with defaults, bounds and descriptions."""

    precisions: ClassVar[tuple[str, ...]] = ("fp32", "tf32")
    """Allowed values of ``--precision``. torch has a switch for tf32; the optimizer itself implements bf16."""
    compiles: ClassVar[bool] = False
    """Whether ``--compile`` changes anything."""
    takes_batches: ClassVar[bool] = False
    """Whether an iteration may be an epoch of mini-batches (``--batch-size``)."""
    splits_rows: ClassVar[bool] = False
    """Whether workers can share the training rows of a layer: every sum over rows is one of ``links.reduce``."""

    def __init__(self, hyperparameters: Typed):
        self.hyperparameters: Any = hyperparameters
        self.precision = "fp32"
        """The precision of matrix products. The state is always float32."""
        self.device = "cpu"
        """The kind of device it will run on, as far as its cost profile depends on that."""
        self.replayed = False
        """Whether iterations are replayed from a CUDA graph."""
        self.deterministic = False
        """Whether the result must be the same to the bit for every partition."""
        self.batch_size = 0
        """Training rows per step; 0 for all. Otherwise an iteration is an epoch of such mini-batches."""
        self.seed = 0
        """The run's seed, from which the order of the rows in mini-batches is derived."""
        self.compile = False
        """Whether elementwise updates are compiled. The runner sets it, where a compiler is installed."""
        self.part: Callable[[str], AbstractContextManager[Any]] = nullcontext
        """A context manager around each named part of a step (``"p"``, ``"W"``, …), with which a profile times it."""

    @classmethod
    def create(cls, values: Mapping[str, Any], name: str) -> Optimizer:
        """An optimizer from hyperparameter values; raises :class:`UserError` for an unknown key or a bad value."""
        return cls(build(cls.Hyperparameters, values, f"hyperparameter of {name}:"))

    def wires(self) -> dict[str, Wire]:
        """The wire formats that it can use, by name; ``--wire auto`` takes the first."""
        return {"fp32": Wire()}

    def wire(self, name: str) -> Wire:
        """The wire format for ``--wire``."""
        wires = self.wires()
        return next(iter(wires.values())) if name == "auto" else wires[name]

    def supports(self, spec: RunSpec) -> str | None:
        """Why this optimizer cannot run ``spec``, or None when it can."""
        wires = self.wires()
        if spec.wire != "auto" and spec.wire not in wires:
            return f"{spec.optimizer} sends {' or '.join(wires)}, not {spec.wire}"
        if spec.precision not in self.precisions:
            return f"{spec.optimizer} computes in {' or '.join(self.precisions)}, not {spec.precision}"
        if spec.splits_rows and not self.splits_rows:
            return f"{spec.optimizer} needs all training rows on every worker: use mesh layers, not {spec.mesh}"
        if spec.cuda_graphs and (spec.gpus > 1 or not self.steady()):
            return f"{spec.optimizer} decides or exchanges on the host, which a CUDA graph cannot replay"
        return self.refuses_batches(spec)

    def refuses_batches(self, spec: RunSpec) -> str | None:
        """Why it cannot train on the mini-batches that ``spec`` asks for, or None where it can, or none are asked for.

        That a batch has more rows than there are is found by those who know the problem.
        """
        if not spec.batch_size:
            return None
        if not self.takes_batches:
            return (
                f"--batch-size {spec.batch_size}: {spec.optimizer} uses all training rows in every step; "
                "--batch-size 0, or a gradient method"
            )
        axes = spec.axes()
        if axes is None or axes[0] > 1:
            return (
                f"--batch-size {spec.batch_size} with {spec.gpus} workers over layers: a pipeline takes all training "
                "rows in every step; use --mesh rows, --workers 1, or --batch-size 0"
            )
        return None

    @property
    def cost_profile(self) -> CostProfile:
        """What an iteration costs per layer, and how workers share it; it may depend on the hyperparameters.

        Partitions, predicted times and planned memory are computed from it. Pipeline schedules need a profile whose
        parallelism is ``pipeline``. For a class that declares no profile, pdADMM's is assumed.
        """
        return replace(PDADMM, assumed_from="pdadmm")

    def steady(self) -> bool:
        """Whether every step is the same work on the device, so that a CUDA graph can replay it."""
        return False

    def cautions(self) -> list[str]:
        """Sentences about the hyperparameters that a user should read before publishing a number."""
        return []

    @abstractmethod
    def init(self, problem: Problem, layers: Sequence[Layer], block: Block, links: Links) -> StateT:
        """The state before the first iteration; ``layers`` are the block's starting weights and are not modified."""

    @abstractmethod
    def step(self, state: StateT) -> None:
        """One iteration: an ADMM sweep or a full-batch gradient step. Runs on the clock."""

    def evaluated(self, state: StateT, step: Mapping[str, float]) -> None:
        """Called off the clock after an evaluated iteration with its values, which are the same on every worker."""

    @abstractmethod
    def report(self, state: StateT) -> Report:
        """Per-layer terms of what the last step reached; always ``loss`` (mean training cross-entropy)."""

    @abstractmethod
    def layers(self, state: StateT) -> list[Layer]:
        """The block's current weights, for evaluation; not to be modified."""

    def predict(self, state: StateT, x: Tensor, block: Block) -> Tensor:
        """The block's output for input rows ``x``: logits (N, classes) when it is the last block."""
        with torch.no_grad():
            return mlp.forward(self.layers(state), x, block)

    def snapshot(self, state: StateT) -> Any:
        """Everything that the next step depends on, as tensors, numbers, lists and dicts for ``torch.save``.

        The tensors are those of the state and not copies, which would double the memory of a run. Save them before the
        next step.
        """
        return _to_plain(state)

    def restore(self, state: StateT, snapshot: Any) -> None:
        """Continue from ``snapshot`` in a freshly initialised ``state`` of the same problem and block."""
        _from_plain(state, snapshot)


def loss_sum(logits: Tensor, y: Tensor) -> Tensor:
    """R(z; y): softmax cross-entropy summed over rows, in float64."""
    return functional.cross_entropy(logits.double(), y, reduction="sum")


def square(x: Tensor) -> Tensor:
    """‖x‖² in float64, computed in parts, because torch copies its input to float64."""
    parts = x.reshape(-1).split(SQUARE_VALUES)
    return torch.stack([torch.linalg.vector_norm(part, dtype=torch.float64) for part in parts]).square().sum()


def inner(x: Tensor, y: Tensor) -> Tensor:
    """⟨x, y⟩ of two matrices in float64."""
    return torch.stack([(a.double() * b.double()).sum() for a, b in in_rows(x, y)]).sum()


def in_rows(*matrices: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """The same rows of matrices of one size, a part at a time, for arithmetic in float64.

    So there is never a float64 copy of a large matrix on a device. On a CPU, where optimizers work in blocks of rows
    already, a matrix is one part.
    """
    first = matrices[0]
    rows = max(1, len(first) if first.device.type == "cpu" else SQUARE_VALUES // max(1, first.shape[1]))
    return zip(*(matrix.split(rows) for matrix in matrices), strict=True)


def per_layer(count: int, device: torch.device) -> Tensor:
    """A float64 vector of ``count`` zeros, one for each layer of a block."""
    return torch.zeros(count, dtype=torch.float64, device=device)


def state_bytes(state: Any) -> int:
    """Bytes of the tensors in a state, training rows and labels included; each storage counts once."""
    seen: dict[int, int] = {}

    def visit(value: Any) -> None:
        if isinstance(value, Tensor):
            seen[value.untyped_storage().data_ptr()] = value.untyped_storage().nbytes()
            if value.grad is not None:
                visit(value.grad)
        elif isinstance(value, torch.optim.Optimizer):
            visit(list(value.state.values()))
        elif isinstance(value, dict):
            visit(list(value.values()))
        elif isinstance(value, (list, tuple)):
            for item in value:
                visit(item)
        elif is_dataclass(value) and not isinstance(value, (type, Links)):
            visit([getattr(value, f.name) for f in fields(value)])

    visit(state)
    return sum(seen.values())


def _to_plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: _to_plain(getattr(value, f.name)) for f in fields(value) if f.metadata.get("state", True)}
    if isinstance(value, Tensor):
        value = value.detach()
        whole = value.untyped_storage().nbytes() == value.nbytes  # torch.save writes the whole storage of a view
        return value if whole else value.clone()
    if isinstance(value, (list, tuple)):
        return [_to_plain(item) for item in value]
    return value


def _from_plain(target: Any, plain: Any) -> None:
    """Copy ``plain`` into ``target``: tensors in place, numbers and lists of numbers by assignment."""
    if isinstance(target, list):
        for item, value in zip(target, plain, strict=True):
            _from_plain(item, value)
        return
    for name, value in plain.items():
        current = getattr(target, name)
        if isinstance(current, Tensor):
            current.detach().copy_(value)
        elif is_dataclass(current) or (isinstance(current, list) and any(map(is_dataclass, current))):
            _from_plain(current, value)
        else:
            setattr(target, name, value)
