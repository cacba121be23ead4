"""Deepening, for a warm start: a deeper network from a trained shallower one.

``function`` puts identity layers before the trained output layer. The input of the output layer is never negative, so a
layer with W = I and b = 0 leaves it unchanged, and the network computes the same function. ``authors`` takes the
trained hidden layers, then identity layers, then an output layer with ones on its diagonal. It follows the pdADMM-G
authors' code (TNNLS 2022), which trains the output layer anew after each deepening.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from pdadmm_bench.core.spec import Deepening
from pdadmm_bench.models.mlp import Layer


def deepened(layers: Sequence[Layer], total: int, kind: Deepening = "function") -> list[Layer]:
    """``layers`` (hidden ones of equal width n, then the output layer) as a network of ``total`` layers.

    Raises ``ValueError`` when there are that many already.
    """
    missing = total - len(layers)
    if missing < 1:
        raise ValueError(f"{len(layers)} layers cannot be deepened to {total}")
    *hidden, output = layers
    classes, n = output.weight.shape
    identity = [Layer(torch.eye(n), torch.zeros(n)) for _ in range(missing)]
    if kind == "authors":
        output = Layer(torch.eye(classes, n), torch.zeros(classes))
    return [*hidden, *identity, output]
