"""The area under the ROC curve, for problems of two classes of unequal size."""

from __future__ import annotations

import torch
from torch import Tensor


def roc_auc(scores: Tensor, y: Tensor) -> float | None:
    """The probability that a row of class 1 has a higher score than one of class 0, a tie counting as half.

    As ``sklearn.metrics.roc_auc_score``. None where one of the classes has no row.

    Args:
        scores: (N,), higher for class 1.
        y: (N,) classes 0 and 1.
    """
    positive = y == 1
    ones = int(positive.sum())
    zeros = len(y) - ones
    if not ones or not zeros:
        return None
    _, place, counts = torch.unique(scores, return_inverse=True, return_counts=True)
    ranks = counts.cumsum(0).double() - (counts.double() - 1) / 2  # the mean rank of equal scores, from 1 on
    return float((ranks[place][positive].sum() - ones * (ones + 1) / 2) / (ones * zeros))
