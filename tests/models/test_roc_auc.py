"""The area under the ROC curve is scikit-learn's, with ties, and is in the rows of problems of two classes."""

from __future__ import annotations

import math

import pytest
import torch
from toy import toy_problem, toy_spec

from pdadmm_bench.models.roc_auc import roc_auc
from pdadmm_bench.training.row import results_from
from pdadmm_bench.training.run import run


@pytest.mark.parametrize("digits", [0, 1, 8], ids=["many ties", "some ties", "no ties"])
def test_it_is_that_of_scikit_learn(digits: int) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    generator = torch.Generator().manual_seed(digits)
    y = (torch.rand(200, generator=generator) < 0.2).long()
    scores = (torch.randn(200, generator=generator) + y).round(decimals=digits)
    assert roc_auc(scores, y) == pytest.approx(metrics.roc_auc_score(y.numpy(), scores.numpy()), abs=1e-12)


def test_a_class_without_rows_has_none() -> None:
    assert roc_auc(torch.zeros(3), torch.zeros(3, dtype=torch.int64)) is None


def test_rows_of_two_classes_have_it_at_its_own_best_validation_value() -> None:
    two = run(toy_spec(), toy_problem(classes=2))
    values = [(step["acc_roc_auc_val"], step["acc_roc_auc_test"]) for step in two.history[1:]]
    best = max(values, key=lambda pair: pair[0])
    assert (two.row["acc_roc_auc_val_best"], two.row["acc_roc_auc_test_at_best_val"]) == best
    assert not [name for name in run(toy_spec(), toy_problem()).row if "roc_auc" in name]
    step = {"iteration": 1, "iteration_seconds": 1.0, "train_seconds": 1.0, "acc_val": 0.5, "acc_roc_auc_val": math.nan}
    assert "acc_roc_auc_val_best" not in results_from([step], None, {})
