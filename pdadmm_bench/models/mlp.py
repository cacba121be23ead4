"""The multilayer perceptron: x → ReLU(x W₁ᵀ + b₁) → … → logits, the same for every optimizer.

Shapes: ``weight`` (n_l, n_{l-1}), ``bias`` (n_l,), with n_0 the features, n_L the classes and the hidden width between.
Every layer has a random stream of its own. So a worker builds only the layers of its block, and the numbers do not
depend on the partition.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple, Protocol

import torch
from torch import Tensor
from torch.nn import functional

from pdadmm_bench.core.block import Block
from pdadmm_bench.core.seeds import derive
from pdadmm_bench.core.spec import ModelSpec

NORMAL_STD = 0.1
"""Standard deviation of the ``normal`` start, weights and biases alike (the pdADMM-G authors' setting)."""


FORWARD_ROWS = 1 << 14
"""The largest number of rows in one forward pass without gradients."""


class Layer(NamedTuple):
    """One linear layer."""

    weight: Tensor
    bias: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        """x Wᵀ + b."""
        return functional.linear(x, self.weight, self.bias)


def widths(spec: ModelSpec, num_features: int, num_classes: int) -> list[int]:
    """[n_0, …, n_L]: the input width, the hidden widths and the number of classes."""
    return [num_features, *[spec.hidden] * (spec.layers - 1), num_classes]


def num_parameters(sizes: Sequence[int]) -> int:
    """Weights and biases of a network with these widths."""
    return sum(n_out * (n_in + 1) for n_in, n_out in pairwise(sizes))


def initial_layers(
    spec: ModelSpec, sizes: Sequence[int], seed: int, block: Block, fan_in: int | None = None
) -> list[Layer]:
    """The starting weights of ``block``, float32 on the CPU, the same for every optimizer of one ``seed``.

    ``normal``: N(0, 0.1²). ``he``: N(0, 2/n_{l-1}) and zero biases (He et al., 2015). ``identity``: first and last
    layer as ``he``, hidden W = I and b = 0. ``fan_in`` stands for n_0 in the variance of the first layer, where the
    inputs are coordinates of so many features.
    """
    return [_initial_layer(spec, sizes, seed, index, fan_in) for index in block]


def _initial_layer(spec: ModelSpec, sizes: Sequence[int], seed: int, index: int, fan_in: int | None) -> Layer:
    n_in, n_out = sizes[index], sizes[index + 1]
    if spec.init == "identity" and 0 < index < spec.layers - 1:
        return Layer(torch.eye(n_out, n_in), torch.zeros(n_out))
    generator = torch.Generator().manual_seed(derive("weights", seed, index))
    std = NORMAL_STD if spec.init == "normal" else math.sqrt(2 / (fan_in or n_in if index == 0 else n_in))
    weight = torch.empty(n_out, n_in).normal_(0, std, generator=generator)
    if spec.init == "normal":
        return Layer(weight, torch.empty(n_out).normal_(0, std, generator=generator))
    return Layer(weight, torch.zeros(n_out))


class Linear(Protocol):
    """A linear layer, whose weights may have any form."""

    def __call__(self, x: Tensor) -> Tensor:
        """x Wᵀ + b (N, n_l), a new tensor."""


def forward(layers: Sequence[Linear], x: Tensor, block: Block) -> Tensor:
    """The output of ``block`` for its input ``x`` (N, n): logits for the last block, activations before it.

    Rows are processed in parts, so that the activations of many rows are never in memory at once.
    """
    if len(x) > FORWARD_ROWS:
        return torch.cat([forward(layers, part, block) for part in x.split(FORWARD_ROWS)])
    for index, layer in zip(block, layers, strict=True):
        x = layer(x)
        if index < block.total - 1:
            x = x.relu_()
    return x


def digest(layers: Sequence[Layer]) -> list[str]:
    """SHA-256 of each layer's float32 bytes, on which a network's hash is built (see :func:`combine`)."""
    return [
        hashlib.sha256(b"".join(t.detach().float().cpu().contiguous().numpy().tobytes() for t in layer)).hexdigest()
        for layer in layers
    ]


def combine(digests: Sequence[str]) -> str:
    """One SHA-256 for a network from its layers' digests in order; it does not depend on the partition."""
    return hashlib.sha256("".join(digests).encode()).hexdigest()
