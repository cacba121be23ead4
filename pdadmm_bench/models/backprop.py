"""Forward and backward passes of a block of layers, in reused buffers.

They compute what autograd computes for ``mlp.forward``, with three savings. Activations are in buffers that are kept
between iterations. The gradient of an activation overwrites the activation after its last use. A further batch of rows
adds its weight gradients within the matrix product. In bf16 the products take bfloat16 factors and round their result
to bfloat16; weights, their gradients and the logits stay float32.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from pdadmm_bench.core.block import Block
from pdadmm_bench.models.mlp import Layer


@dataclass
class Backprop:
    """The block as a differentiable function; its backward passes add to the layers' ``grad`` from :meth:`start` on.

    Several calls may be in flight together, as in a pipeline.
    """

    layers: Sequence[Layer]
    """Float32 leaves that require gradients; their ``grad`` is allocated here, once."""
    block: Block
    dtype: torch.dtype = torch.float32
    """The type of the products' factors, of activations and of their gradients, also of those sent to other blocks."""
    ready: Callable[[Tensor], None] | None = None
    """Is given the gradients of a layer, weight and bias in one tensor, as soon as they are complete."""
    factors: list[Layer] = field(init=False)
    """The layers in ``dtype``."""
    kept: dict[int, list[list[Tensor]]] = field(default_factory=lambda: defaultdict(list))
    """Free buffers for the activations inside the block, by their number of rows: one list for each call. A call in
    flight holds its list."""
    spare: Tensor = field(init=False)
    """The buffer of a gradient before the backward pass of its ReLU."""
    fresh: bool = True
    """Whether the next backward pass overwrites the gradients, which still are those before the start."""
    joined: list[Tensor] = field(default_factory=list)
    """The gradients of each layer in one tensor, where ``ready`` wants them so."""
    passes: int = 1
    """Backward passes until the gradients are complete."""
    splits: bool = False
    """Whether backward passes leave the weight gradients to :meth:`weight_gradients`, as a zero-bubble schedule
    wants."""
    forces: dict[int, list[list[Tensor]]] = field(default_factory=lambda: defaultdict(list))
    """Free buffers for the gradients of activations inside the block, where weight gradients come later."""
    left: list[tuple[list[Tensor], list[Tensor]]] = field(default_factory=list)
    """Inputs and gradients of the product of every layer, of backward passes whose weight gradients are left."""

    def __post_init__(self) -> None:
        for layer in self.layers:
            if self.ready:
                both = layer.weight.new_zeros(layer.weight.numel() + layer.bias.numel())
                weight, bias = both.detach().split([layer.weight.numel(), layer.bias.numel()])
                layer.weight.grad, layer.bias.grad = weight.view_as(layer.weight), bias
                self.joined.append(both)
                continue
            for tensor in layer:
                tensor.grad = torch.zeros_like(tensor)
        self.factors = [Layer(*(tensor.detach().to(self.dtype) for tensor in layer)) for layer in self.layers]
        self.spare = self.factors[0].weight.new_empty(0)

    def start(self, passes: int = 1) -> None:
        """Begin a new gradient, at the weights as they are now; it is complete after so many backward passes."""
        self.fresh, self.passes = True, passes
        if self.dtype != torch.float32:
            for layer, factors in zip(self.layers, self.factors, strict=True):
                factors.weight.copy_(layer.weight.detach())
                factors.bias.copy_(layer.bias.detach())

    @property
    def output_dtype(self) -> torch.dtype:
        """The type of the output: float32 for logits, else ``dtype``."""
        return torch.float32 if self.block.is_last else self.dtype

    def __call__(self, x: Tensor) -> Tensor:
        """For rows ``x`` (N, n_in) in ``dtype``: activations, or logits of the last block, in ``output_dtype``."""
        # A parameter among the inputs tells autograd that there is something to differentiate.
        output: Tensor = _Passes.apply(x, self.layers[0].weight, self)
        return output.to(self.output_dtype)

    def forward(self, x: Tensor) -> list[Tensor]:
        """The activations from ``x`` to the output: those between are in buffers, the output is a new tensor."""
        widths = [len(layer.bias) for layer in self.layers[:-1]]
        free = self.kept[len(x)]
        inside = free.pop() if free else [x.new_empty(len(x), width) for width in widths]
        activations = [x]
        for i, (index, out) in enumerate(zip(self.block, [*inside, None], strict=True)):
            z = self.product(i, activations[-1], out)
            activations.append(z.relu_() if index < self.block.total - 1 else z)
        return activations

    def product(self, i: int, x: Tensor, out: Tensor | None) -> Tensor:
        """x Wᵀ + b of layer ``i`` of the block, in ``out`` where it is given."""
        return torch.addmm(self.factors[i].bias, x, self.factors[i].weight.T, out=out)

    def backward(
        self, gradient: Tensor, activations: list[Tensor], wanted: bool, weights: Sequence[Tensor] | None = None
    ) -> Tensor | None:
        """Add to the layers' gradients; the gradient with respect to the input where it is ``wanted``.

        Args:
            gradient: with respect to the output, (N, n_out).
            activations: from :meth:`forward`; those between input and output are overwritten, and free from now on.
            wanted: False in the first block, whose input is data.
            weights: those of the forward pass, in ``dtype``, where they have changed since.
        """
        weights = weights or [layer.weight for layer in self.factors]
        relu_backward = torch.ops.aten.threshold_backward
        *inputs, output = activations
        if not self.block.is_last:
            gradient = relu_backward(gradient, output, 0)
        if self.splits:
            return self._backward_of_inputs(gradient, inputs, weights, wanted)
        self.add(len(self.layers) - 1, gradient, inputs[-1])
        for i in range(len(inputs) - 1, 0, -1):
            before_relu = torch.mm(gradient, weights[i], out=self._spare(inputs[i]))
            gradient = relu_backward.grad_input(before_relu, inputs[i], 0, grad_input=inputs[i])
            self.add(i - 1, gradient, inputs[i - 1])
        self.kept[len(output)].append(inputs[1:])
        self.fresh, self.passes = False, self.passes - 1
        return gradient @ weights[0] if wanted else None

    def _backward_of_inputs(
        self, gradient: Tensor, inputs: list[Tensor], weights: Sequence[Tensor], wanted: bool
    ) -> Tensor | None:
        free = self.forces[len(gradient)]
        forces = [*(free.pop() if free else [torch.empty_like(x) for x in inputs[1:]]), gradient]
        for i in range(len(inputs) - 1, 0, -1):
            before_relu = torch.mm(forces[i], weights[i], out=self._spare(inputs[i]))
            torch.ops.aten.threshold_backward.grad_input(before_relu, inputs[i], 0, grad_input=forces[i - 1])
        self.left.append((inputs, forces))
        return forces[0] @ weights[0] if wanted else None

    def weight_gradients(self) -> Callable[[], None]:
        """A function that adds the weight gradients of the last backward pass, to be called once."""
        inputs, forces = self.left.pop()

        @torch.no_grad()
        def add() -> None:
            for i in range(len(inputs) - 1, -1, -1):
                self.add(i, forces[i], inputs[i])
            self.kept[len(inputs[0])].append(inputs[1:])
            self.forces[len(inputs[0])].append(forces[:-1])
            self.fresh, self.passes = False, self.passes - 1

        return add

    def add(self, i: int, gradient: Tensor, x: Tensor) -> None:
        """The gradients of layer ``i`` of the block from that of its product and its input ``x``."""
        layer = self.layers[i]
        weight, bias = layer.weight.grad, layer.bias.grad
        assert weight is not None and bias is not None
        add = Tensor.copy_ if self.fresh else Tensor.add_
        add(bias, gradient.sum(0))
        if self.dtype != torch.float32:
            add(weight, gradient.T @ x)
        elif self.fresh:
            torch.mm(gradient.T, x, out=weight)
        else:
            weight.addmm_(gradient.T, x)
        if self.ready and self.passes == 1:
            self.ready(self.joined[i])

    def _spare(self, like: Tensor) -> Tensor:
        if self.spare.numel() < like.numel():
            self.spare = torch.empty_like(like).view(-1)
        return self.spare[: like.numel()].view_as(like)


class _Passes(torch.autograd.Function):
    """The two passes as a function of autograd, which carries gradients from block to block and from the loss."""

    @staticmethod
    def forward(context: Any, x: Tensor, _: Tensor, network: Backprop) -> Tensor:
        _, *inside, output = network.forward(x)
        context.network, context.inside = network, inside
        context.save_for_backward(x, output)
        return output

    @staticmethod
    @once_differentiable
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor | None, None, None]:
        x, output = context.saved_tensors
        return context.network.backward(gradient, [x, *context.inside, output], context.needs_input_grad[0]), None, None
