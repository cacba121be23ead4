"""The cost profile of an optimizer: its matrix products, elementwise passes and arrays per layer in one iteration.

Every optimizer class declares its profile (:attr:`pdadmm_bench.optim.base.Optimizer.cost_profile`). The cost model
(:mod:`pdadmm_bench.parallel.cost`) computes times, memory and partitions from it. The numbers are counted from the code
of the optimizers, not fitted, and the tests compare them with what the optimizers do.

A layer has arrays of three sizes for N rows and widths [n_0, …, n_L]: N·n_{l-1} (its input), N·n_l (its output) and
n_l·n_{l-1} (its weights). The first layer of an ADMM may work with the N·N products of its input rows instead of its
weights (:mod:`pdadmm_bench.optim.admm.weights`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

from pdadmm_bench.optim.hyperparameters.choices import EXACT

OUTPUT_PASSES = 330
"""Passes of the exact z_L update: three or four Newton steps in float64, which counts twice."""
OUTPUT_STEPS_PASSES = 1460
"""Passes of the z_L update of a device, whose number of steps is fixed; they are in float64."""
OUTPUT_COMPILED_PASSES = 5
"""Passes of the same in one kernel, which reads a, y and the z of before, and writes z."""
ROUNDING_PASSES = 12
"""Passes of rounding a tensor to the codes of the wire, which pdADMM-G-Q does between layers of one worker too."""

Parallelism = Literal["overlap", "pipeline", "sequential", "delayed", "forward-locked"]
"""How workers share an iteration: all at once (pdADMM, and FDG with other messages), through micro-batches, one after
the other (dlADMM), or forward one after the other and backward all at once (DDG)."""


Minimiser = Literal["p", "W", "kept W", "W in span", "W over rows", "kept W over rows"]
"""An exact minimiser: of p, of W, or of W where the layer's input, and so the inverse, stays the same; of W in the span
of few rows (:func:`in_span_of_rows`). Where workers share the rows, W has no N × N form."""


_OVER_ROWS: dict[Minimiser, Minimiser] = {"W": "W over rows", "kept W": "kept W over rows"}


class Arrays(NamedTuple):
    """A number of arrays of each of a layer's sizes."""

    inputs: float = 0
    outputs: float = 0
    weights: float = 0
    gram: float = 0
    squares: float = 0
    """Of n_{l-1} × n_{l-1} values."""

    def values(self, n_in: int, n_out: int, rows: int) -> float:
        """The number of values in these arrays; a weight array counts with its bias."""
        weights = self.weights * n_out * (n_in + 1) + self.squares * n_in * n_in
        return rows * (self.inputs * n_in + self.outputs * n_out + self.gram * rows) + weights

    def plus(self, other: Arrays) -> Arrays:
        """The sum."""
        return Arrays(*(a + b for a, b in zip(self, other, strict=True)))


PROJECTING = Arrays(0, 6)
"""Passes that a projected bias adds to a step of W: the exact b before, and the mean of the image, or of p."""
MINIMISING = 17
"""Passes over a Gram matrix that an exact minimiser adds, with its factor in float64 and the inverse."""
DUAL = Arrays(3, 7, 2, gram=MINIMISING, squares=-MINIMISING)
"""What a minimiser of W with N × N matrices adds to that."""
SPANNING, SPANNING_EXACT = Arrays(0, 10), DUAL._replace(inputs=2, outputs=12, weights=-5)
"""Passes that a step in the span of few rows adds to one along the gradient, and to the minimiser."""
MOVING = 3
"""Passes that take a residual along the image of a step; the image of a minimiser is added by its own product."""


@dataclass(frozen=True)
class LayerWork:
    """The work on one layer in one iteration: matrix products, elementwise passes, and the state it needs."""

    products: int
    """Matrix products of 2·N·n_{l-1}·n_l operations."""
    passes: Arrays
    """Arrays read or written outside matrix products; an operation a + b on one size makes three passes."""
    states: Arrays
    """Arrays that are kept between iterations."""
    gram_products: int = 0
    """Matrix products of 2·N·N·n_l operations."""
    moments: int = 0
    """Matrix products p pᵀ, of 2·N·N·n_{l-1} operations."""
    spans: int = 0
    """Steps of W that stay in the span of the rows where these are few (:func:`in_span_of_rows`)."""
    minimisers: tuple[Minimiser, ...] = ()
    """The exact minimisers among the steps, which multiply and factorize more."""
    sums: float = 1
    """Arrays of the weights' size that are summed over the workers which share the rows; exact steps sum more."""

    def operations(self, n_in: int, n_out: int, rows: int) -> int:
        """Floating-point operations in matrix products."""
        inner = n_in * self.products + rows * self.gram_products
        own = 2 * rows * (n_out * inner + rows * n_in * self.moments)
        return own + sum(solving_operations(kind, n_in, n_out, rows) for kind in self.minimisers)

    def summed(self, n_in: int, n_out: int) -> int:
        """Values that are summed over the workers which share the rows: gradients of W and b, and the moments pᵀp."""
        return int(self.sums * n_out * (n_in + 1)) + n_in * n_in * self.minimisers.count("W over rows")

    def over_rows(self) -> LayerWork:
        """The work where workers share the rows."""
        return replace(self, minimisers=tuple(_OVER_ROWS.get(kind, kind) for kind in self.minimisers), spans=0)

    def fitted(self, n_in: int, n_out: int, rows: int) -> LayerWork:
        """The work for a layer of this size."""
        solved = self.minimisers.count("W")
        if not self.spans or not in_span_of_rows(rows, n_in, n_out):
            return _with(self, DUAL, solved) if dual_for_W(rows, n_in) else self
        if solved:
            kinds: list[Minimiser] = ["W in span" if kind == "W" else kind for kind in self.minimisers]
            return replace(_with(self, SPANNING_EXACT, solved), minimisers=tuple(kinds))
        products, n = self.products - self.spans, self.spans
        return replace(_with(self, SPANNING, n), products=products, gram_products=n, moments=n)

    def factorizing(self, n_in: int, n_out: int, rows: int) -> int:
        """Operations in factorizations, a float64 one counted as two."""
        return sum(factorizing_operations(kind, n_in, n_out, rows) for kind in self.minimisers)


@dataclass(frozen=True)
class CostProfile:
    """The work of an optimizer on the first layer (whose input is fixed), the hidden layers and the output layer."""

    first: LayerWork
    hidden: LayerWork
    last: LayerWork
    sampled: LayerWork | None
    """The first layer in sample space; None where the optimizer does not have that form."""
    scratch: Arrays
    """The largest number of temporary arrays at one time, for the layer that is updated."""
    parallelism: Parallelism
    blocks: int | None = None
    """Parts of the network, of equal numbers of layers, between which workers do not wait; None where any will do."""
    assumed_from: str | None = None
    """The optimizer whose profile this is, where the class declares none of its own."""
    delay: int = 0
    """Iterations between the forward and the backward pass of one of the ``blocks``, for each block after it. Workers
    have whole ones then."""

    def over_rows(self) -> CostProfile:
        """The profile where workers share the rows: the forms that need all rows on one worker are left out."""
        first, hidden, last = (work.over_rows() for work in (self.first, self.hidden, self.last))
        return replace(self, first=first, hidden=hidden, last=last, sampled=None)


def in_sample_space(rows: int, features: int) -> bool:
    """Whether the first layer of an ADMM works with coefficients of its input rows instead of its weights.

    That takes one product of N·N·n instead of two of N·d·n, and elementwise work on N·n instead of d·n values. The N·N
    products of the rows must not take more memory than x itself.
    """
    return rows < features


def in_span_of_rows(rows: int, n_in: int, n_out: int) -> bool:
    """Whether a step of W takes its image from the N × N products of the layer's input rows.

    Products of N·N·(n_{l-1} + n_l) then stand in the place of one of N·n_{l-1}·n_l, or of two for the minimiser.
    """
    return rows * (n_in + n_out) < n_in * n_out


def dual_for_W(rows: int, n_in: int) -> bool:
    """Whether the exact minimiser of W solves with an N × N matrix in the place of an n_{l-1} × n_{l-1} one."""
    return rows < n_in


def dual_for_p(n_in: int, n_out: int) -> bool:
    """Whether the exact minimiser of p solves with an n_l × n_l matrix in the place of an n_{l-1} × n_{l-1} one.

    That takes two more products of N·n_{l-1}·n_l and one of N·n_l² in the place of one of N·n_{l-1}².
    """
    return 2 * n_out < n_in


def solving_operations(kind: Minimiser, n_in: int, n_out: int, rows: int) -> int:
    """Operations of an exact minimiser in matrix products beyond the two of a step along the gradient."""
    product, squares, outputs = rows * n_in * n_out, rows * n_in * n_in, rows * n_out * n_out
    if kind == "p":
        if dual_for_p(n_in, n_out):
            return 2 * (2 * product + n_out * n_out * n_in + outputs)
        return 2 * (n_out * n_in * n_in + squares)
    if kind == "W in span":  # one product is left of the two of a step
        return 2 * (rows * rows * (n_in + 2 * n_out) - product)
    if dual_for_W(rows, n_in) and kind not in _OVER_ROWS.values():
        return 2 * (product + rows * rows * (n_out + (n_in if kind == "W" else 0)))
    return 2 * (n_out * n_in * n_in + (squares if kind in ("W", "W over rows") else 0))


def factorizing_operations(kind: Minimiser, n_in: int, n_out: int, rows: int) -> int:
    """Operations of a Cholesky factor and the inverse from it: n³, in float64, which takes twice as long."""
    if kind in ("kept W", "kept W over rows"):
        return 0
    n = (n_out if dual_for_p(n_in, n_out) else n_in) if kind == "p" else min(rows, n_in)
    n = n_in if kind == "W over rows" else n
    return 2 * n**3


def on_device(profile: CostProfile, solved: int, compiled: bool) -> CostProfile:
    """The profile of an ADMM on a device, where z_L is found by a fixed number of steps.

    Args:
        profile: the profile for a CPU.
        solved: how often z_L is found in an iteration.
        compiled: whether the steps are one kernel.
    """
    passes = OUTPUT_COMPILED_PASSES if compiled else OUTPUT_STEPS_PASSES
    last = profile.last
    more = Arrays(outputs=solved * passes - OUTPUT_SOLVES[solved] * OUTPUT_PASSES)
    return replace(profile, last=replace(last, passes=last.passes.plus(more)))


OUTPUT_SOLVES = {1: 1.0, 2: 1.6}
"""z_L found once or twice in an iteration, in units of :data:`OUTPUT_PASSES`: the second time starts from the first."""


def with_steps(profile: CostProfile, step: str, bias: str, precision: str, sweeps: int = 1) -> CostProfile:
    """The profile of an ADMM with other steps of p and W than one length per layer and another bias update.

    Args:
        step: ``layer``, ``row-unit``, ``exact-W`` or ``exact``; bias: ``update`` or ``projected``.
        precision: of the products; those of bf16 do not leave out any for few rows.
        sweeps: updates of every p and W in an iteration.
    """
    spans = 0 if precision == "bf16" else sweeps
    first, hidden, last = (replace(work, spans=spans) for work in (profile.first, profile.hidden, profile.last))
    sampled = profile.sampled
    if bias == "projected":
        first, hidden, last = (_with(work, PROJECTING, sweeps) for work in (first, hidden, last))
        sampled = sampled and _with(sampled, PROJECTING, sweeps)
    if step in EXACT:
        solved: list[Minimiser] = ["W"] if step == "exact-W" else ["p", "W"]
        solving = _with(first, Arrays(outputs=-MOVING), sweeps, ["kept W"])
        first = replace(solving, states=first.states.plus(Arrays(squares=1)), spans=0)
        passes = Arrays(outputs=-MOVING * len(solved), squares=MINIMISING * len(solved))
        hidden, last = (_with(work, passes, sweeps, solved) for work in (hidden, last))
        if sampled:
            kept = sampled.states.plus(Arrays(gram=1))
            sampled = replace(sampled, gram_products=2 * sampled.gram_products, states=kept)
    return replace(profile, first=first, hidden=hidden, last=last, sampled=sampled)


def _with(work: LayerWork, passes: Arrays, sweeps: int, minimisers: Sequence[Minimiser] = ()) -> LayerWork:
    """``work`` with so many more passes and minimisers in every sweep."""
    more = Arrays(*(sweeps * value for value in passes))
    return replace(work, passes=work.passes.plus(more), minimisers=work.minimisers + tuple(minimisers) * sweeps)


def admm_profile(products: int, first: float, hidden: Arrays, stored: int = 3) -> CostProfile:
    """The profile of a method like pdADMM, whose first layer has no update of p.

    Args:
        products: matrix products of a hidden layer; the first layer needs two.
        first: passes over arrays of the output's size in the first layer.
        hidden: passes in a hidden layer.
        stored: arrays of the output's size that a hidden layer keeps: z, r, q.
    """
    state = Arrays(1, stored, 1)  # p or x; W, b
    return CostProfile(
        first=LayerWork(2, Arrays(0, first, hidden.weights), state),
        hidden=LayerWork(products, hidden, state),
        last=LayerWork(products, hidden._replace(outputs=28 + OUTPUT_PASSES), Arrays(1, 2, 1)),
        # The coefficients, the image of the starting weights and the products of the rows come on top.
        sampled=LayerWork(0, Arrays(0, first + 11), Arrays(1, stored + 2, 1, 1), gram_products=1),
        scratch=Arrays(inputs=1, outputs=1),
        parallelism="overlap",
    )


PDADMM = admm_profile(4, 73, Arrays(14, 75, 10))
"""pdADMM's profile. It is assumed for a method without gradients that declares no profile."""
PDADMM_M = admm_profile(4, 73, Arrays(14, 75, 10), stored=5)
"""The same with multipliers s and u, whose passes are about as many as those of z, q and u."""
PDADMM_M = replace(PDADMM_M, last=replace(PDADMM_M.last, states=PDADMM_M.last.states.plus(Arrays(outputs=1))))


def gradient_profile(statistics: int, passes: int, scratch: int = 0) -> CostProfile:
    """The profile of a gradient method: forward pass, weight gradient and, after the first layer, input gradient.

    Args:
        statistics: arrays of the weights' size that the optimizer keeps beside weight and gradient.
        passes: passes over arrays of the weights' size in its update.
        scratch: temporary arrays of the weights' size in its update.
    """
    state = Arrays(0, 1, 2 + statistics)  # one activation, weights, gradients
    return CostProfile(
        first=LayerWork(2, Arrays(0, 7, passes), state._replace(inputs=1)),
        hidden=LayerWork(3, Arrays(0, 7, passes), state),
        last=LayerWork(3, Arrays(0, 10, passes), state._replace(outputs=2)),
        sampled=None,
        scratch=Arrays(outputs=1, weights=scratch),
        parallelism="pipeline",
    )
