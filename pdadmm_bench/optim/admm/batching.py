"""Batches of equal layers: for small matrices, the calls of products and passes take longer than their arithmetic."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from pdadmm_bench.optim.admm.state import LayerBatch, PdADMMLayer
from pdadmm_bench.optim.admm.weights import Weights
from pdadmm_bench.optim.device_constants import constants_of
from pdadmm_bench.optim.wire import Wire


def batch_size(layers: Sequence[PdADMMLayer], rows: int) -> int:
    """The number of layers of a block that are updated together; 1 where they are too large or not alike.

    Args:
        rows: N, or those of the worker that has most, so that all which share them find the same number.
    """
    z = layers[0].z
    size = constants_of(z.device).batch_values // (rows * z.shape[1])
    alike = all(type(layer.wire) is Wire and layer.u is None for layer in layers)
    return size if alike and size > 1 and len(layers) > 3 else 1


def in_batches(layers: Sequence[PdADMMLayer], size: int) -> list[LayerBatch]:
    """All layers of a block but the last, from right to left; inner layers in batches of ``size`` at most.

    With a ``size`` above 1 the tensors of the layers become parts of common tensors.
    """
    if size == 1:
        return [
            LayerBatch(layer, layers[index - 1].variables() if index else [], following.p, following.wire)
            for index, (layer, following) in enumerate(pairwise(layers))
        ][::-1]
    p = _joined(layers[1:], "p")
    z, r, q = (_joined(layers[:-1], name) for name in ("z", "r", "q"))
    inner = layers[1:-1]
    b, moved = _joined(inner, "b").unsqueeze(1), _joined(inner, "moved").view(-1, 1, 1)
    weights: list[Any] = [layer.weights for layer in inner]
    W, to_identity = _joined(weights, "W"), weights[0].to_identity
    batches = [LayerBatch(layers[0], [], p[0], layers[1].wire)]
    for start in range(0, len(inner), size):
        stop = min(start + size, len(inner))
        some, after = slice(start, stop), slice(start + 1, stop + 1)  # in tensors of layer inputs, and of outputs
        layer = PdADMMLayer(
            Weights(W[some], to_identity), b[some], p[some], z[after], r[after],
            mu=inner[0].mu, q=q[after], moved=moved[some],
        )  # fmt: skip
        batches.append(LayerBatch(layer, [q[some], z[some]], p[after], Wire()))
    return batches[::-1]


def _joined(holders: Sequence[Any], name: str) -> Tensor:
    """The attribute ``name`` of all holders as one tensor; from now on the attributes are views of it."""
    joined = torch.stack([getattr(holder, name) for holder in holders])
    for holder, part in zip(holders, joined, strict=True):
        setattr(holder, name, part)
    return joined
