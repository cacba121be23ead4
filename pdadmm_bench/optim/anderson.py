"""Anderson acceleration of a fixed-point iteration x ← G(x), safeguarded.

Type II, as in Walker and Ni (SIAM J. Numer. Anal. 49, 2011): the next x is the combination of the last images G(x)
whose residuals G(x) − x cancel best. An extrapolation that made the residual larger than it was is taken back, and the
history with it.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor

REGULARISATION = 1e-10
"""Of the least squares problem, relative to its largest diagonal element."""


class Anderson:
    """Extrapolates flat iterates from the last ``memory`` of them."""

    def __init__(self, memory: int):
        self.memory = memory
        self._images: list[Tensor] = []
        self._residuals: list[Tensor] = []
        self._plain: Tensor | None = None
        """The image that the last extrapolation was taken instead of."""
        self._norm = torch.inf

    def next(self, x: Tensor, image: Tensor) -> Tensor:
        """The iterate after ``x``, whose plain successor is ``image``."""
        residual = image - x
        norm = float(torch.linalg.vector_norm(residual))
        plain = self._plain
        if plain is not None and norm > self._norm:
            self._images, self._residuals, self._plain, self._norm = [], [], None, torch.inf
            return plain
        self._images = [*self._images[-self.memory :], image]
        self._residuals = [*self._residuals[-self.memory :], residual]
        self._norm = norm
        if len(self._images) == 1:
            return image
        self._plain = image
        steps = torch.stack([after - before for before, after in pairwise(self._residuals)])
        gram = (steps @ steps.T).double()
        gram.diagonal().add_(REGULARISATION * gram.diagonal().max())
        weights = torch.linalg.solve(gram, (steps @ residual).double()).float()
        moves = torch.stack([after - before for before, after in pairwise(self._images)])
        return image - weights @ moves
