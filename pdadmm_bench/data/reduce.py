"""Features as coordinates in the principal directions of the training rows, for every optimizer alike.

The directions are the right singular vectors of the training rows x (N, d) as they are: no mean is taken off. So all
directions together, at most min(N, d), are an exact rotation of the span of the training rows. The inner product of any
row with a training row stays what it was. What a row has outside of the span goes; no gradient ever reaches it.

They come from the smaller of the Gram matrices x xᵀ (N, N) and xᵀ x (d, d), in float64: all of its eigenvectors, or
the leading ones by Lanczos iterations (ARPACK) where they are few of many. Squaring costs accuracy for weak directions
only: one whose singular value is s times the largest is right up to about 1e-16/s². Those with s below 1e-6 to 5e-6 are
left out; they are the rounding of float32 features.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pdadmm_bench.data.problem import Problem, Rows

REDUCE_VERSION = 1
"""Part of the key of cached coordinates. Raise it whenever the same rows would give other coordinates."""
ALL_DIRECTIONS = "rows"
"""The value of the setting that keeps the whole span of the training rows."""
BLOCK = 512
"""Rows or columns that are in float64 at once."""
TILE = 2048
"""Columns of a Gram matrix that are added at once, from the diagonal down."""
LANCZOS_SIZE = 2000
"""Gram matrices below this size are decomposed in full, in seconds."""
LANCZOS_SHARE = 8
"""Lanczos iterations are for at most one in so many eigenvectors; more cost more than all of them together."""
NOISE = 10
"""An eigenvalue counts as zero below so many times the rounding error of the largest: size × 2⁻⁵² × this."""


def principal_directions(x: Tensor, count: int | None) -> Tensor:
    """The ``count`` strongest directions of the rows x (N, d), or all of them; fewer where the rows have fewer.

    Returns orthonormal columns (d, K) in float64, the strongest first. The largest entry of each is positive.
    """
    dual = x.shape[0] <= x.shape[1]
    size = min(x.shape)
    values, vectors = _leading(_gram(x if dual else x.T), size if count is None else min(count, size))
    limit = NOISE * size * torch.finfo(torch.float64).eps * float(values.max().clamp(min=0))
    kept = int((values > limit).sum())
    vectors = vectors[:, :kept]
    if dual:
        vectors = torch.cat([block.double().T @ vectors for block in x.split(BLOCK, dim=1)])
        vectors = torch.linalg.qr(vectors / vectors.norm(dim=0)).Q  # weak ones are not quite orthogonal
    return vectors * vectors.gather(0, vectors.abs().argmax(dim=0, keepdim=True)).sign()


def _gram(x: Tensor) -> Tensor:
    """x xᵀ of x (M, m) in float64; the upper half is the mirrored lower one."""
    gram = torch.zeros(len(x), len(x), dtype=torch.float64)
    for block in x.split(BLOCK, dim=1):
        wide = block.double()
        for start in range(0, len(x), TILE):
            tile = slice(start, start + TILE)
            gram[start:, tile].addmm_(wide[start:], wide[tile].T)
    for start in range(0, len(x), TILE):  # tiles, so that no second matrix of this size is made
        end = start + TILE
        gram[start:end, end:] = gram[end:, start:end].T
    return gram


def _leading(gram: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The ``count`` largest eigenvalues of ``gram`` (M, M), the largest first, and their vectors (M, count)."""
    size = len(gram)
    if size < LANCZOS_SIZE or count * LANCZOS_SHARE > size:
        values, vectors = torch.linalg.eigh(gram)
        return values.flip(0)[:count], vectors.flip(1)[:, :count]
    from scipy.sparse.linalg import eigsh

    start = np.random.default_rng(0).standard_normal(size)  # a fixed one: the same rows have the same directions
    values, vectors = eigsh(gram.numpy(), k=count, which="LA", v0=start, tol=1e-12)
    order = np.argsort(values)[::-1].copy()
    return torch.from_numpy(values[order]), torch.from_numpy(vectors[:, order].copy())


def reduced(problem: Problem, reduce: str, report: Callable[[str], None]) -> Problem:
    """``problem`` with its features as coordinates in the principal directions of its training rows, float32.

    Args:
        reduce: how many directions, or ``rows`` for all that the training rows have.
        report: takes a line where there are fewer directions than asked for; all there are is what the user then gets,
            because so an axis of datasets can have one number, and nothing is lost.
    """
    x = problem.train.x
    count = None if reduce == ALL_DIRECTIONS else int(reduce)
    directions = principal_directions(x, count)
    found = directions.shape[1]
    if count is not None and found < count:
        report(
            f"warning: --reduce {count}: the {len(x)} training rows of {problem.name} have {found} directions; "
            "all of them are kept"
        )
    parts: dict[str, Any] = {
        name: Rows(x=_coordinates(rows.x, directions), y=rows.y) for name, rows in problem.parts().items()
    }
    before, after = (float(rows.square().sum(dtype=torch.float64)) for rows in (x, parts["train"].x))
    facts = {
        **problem.facts,
        "dataset_reduce": reduce,
        "dataset_reduce_columns": found,
        "dataset_reduce_kept": min(1.0, after / before) if before else 1.0,
    }
    return Problem(
        name=problem.name,
        split=problem.split,
        num_classes=problem.num_classes,
        sha256=problem.sha256,
        facts=facts,
        fan_in=problem.num_features,
        **parts,
    )


def _coordinates(x: Tensor, directions: Tensor) -> Tensor:
    """x V (N, K) in float32, computed in float64."""
    blocks = [(block.double() @ directions).float() for block in x.split(BLOCK)]
    return torch.cat(blocks) if blocks else x.new_empty(0, directions.shape[1])
