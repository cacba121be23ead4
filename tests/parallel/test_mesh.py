"""Workers that share the rows of layers: one network, that of a worker with all rows, to rounding."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cases import EXACT, MESH, REAL_MESH, TWO_CLASSES, mesh, name_of_mesh
from crew import Case, Findings, Pair, steps_of
from properties import apart

pytestmark = pytest.mark.dist

TOLERANCE = {"fp32": 2e-4, "bf16": 0.05}
"""Of the largest value that a quantity of the history has, and of a layer's norm, but for ``OF_WEIGHTS``."""
OF_WEIGHTS = {"bf16": 0.1}
"""After exact steps in bf16 the last layer of one worker is itself 5 % away from that in fp32."""
ROWS, FEATURES, HIDDEN, CLASSES = 33, 12, 10, 3


def assert_close(pair: Pair, case: Case) -> None:
    many, one, tolerance = pair.many, pair.one, TOLERANCE[case.spec.precision]
    assert (many.row["status"], one.row["status"]) == ("ok", "ok"), many.row["status_reason"]
    assert many.row["weights_initial_sha256"] == one.row["weights_initial_sha256"]
    assert len(many.history) == len(one.history) == case.spec.iterations + 1
    for name in {name for step in steps_of(one.history) for name in step}:
        theirs = [step[name] for step in one.history if name in step]
        ours = [step[name] for step in many.history if name in step]
        # An accuracy jumps where a row is near the border of two classes; a loss near 0 is a difference of logits.
        within = 2 / 11 if name.startswith("acc_") else tolerance * max(1e-2, *map(abs, theirs))
        assert ours == pytest.approx(theirs, abs=within), name
    assert apart(many, one) <= OF_WEIGHTS.get(case.spec.precision, tolerance)
    assert many.row["weights_sha256"] != many.row["weights_initial_sha256"]


@pytest.mark.parametrize("case", MESH, ids=name_of_mesh)
def test_the_run_is_that_of_one_worker(findings: Findings, case: Case) -> None:
    assert_close(findings.pairs[name_of_mesh(case)], case)


@pytest.mark.parametrize("case", REAL_MESH, ids=name_of_mesh)
def test_the_run_is_that_of_one_worker_on_real_data(findings: Findings, case: Case, real_data: Path) -> None:
    assert_close(findings.pairs[name_of_mesh(case)], case)


@pytest.mark.parametrize("case", TWO_CLASSES, ids=name_of_mesh)
def test_the_area_under_the_roc_curve_is_that_of_all_rows(findings: Findings, case: Case) -> None:
    pair = findings.pairs[name_of_mesh(case)]
    assert_close(pair, case)
    for name in ("acc_roc_auc_val", "acc_roc_auc_test"):
        many, one = ([step[name] for step in steps_of(each.history) if name in step] for each in (pair.many, pair.one))
        assert len(one) >= 2
        assert many == pytest.approx(one, abs=0.02), name  # logits that differ by rounding may change places
        assert len(set(one)) > 1
    assert "acc_roc_auc_test_at_best_val" in pair.many.row


def test_the_row_says_who_held_what(findings: Findings) -> None:
    """And what both axes cost: a tensor each way between the blocks, and the sums of each block's layers."""
    row = findings.pairs[name_of_mesh(MESH[1])].many.row
    assert (row["dist_mesh"], row["dist_workers"], row["dist_schedule"]) == ("layers=2,rows=2", 4, "1f1b")
    first, second = (int(size) for size in row["dist_partition"].split(","))
    workers = json.loads(row["dist_per_worker"])
    assert [worker["rows"] for worker in workers] == ["0-16", "17-32", "0-16", "17-32"]
    layers = [f"0-{first - 1}", f"{first}-{first + second - 1}"]
    assert [worker["layers"] for worker in workers] == [layers[0], layers[0], layers[1], layers[1]]
    # 17 or 16 rows are padded to 20 for 5 micro-batches.
    assert [worker["sent_bytes"] for worker in workers] == [20 * HIDDEN * 4] * 4
    # 2(R − 1)/R of the gradients, with R = 2 workers.
    assert [worker["reduced_bytes"] for worker in workers] == [4 * worker["parameters"] for worker in workers]
    assert row["dist_reduced_bytes"] == sum(worker["reduced_bytes"] for worker in workers)


def test_pdadmm_sums_the_gradients_and_little_else(findings: Findings) -> None:
    row = findings.pairs[name_of_mesh(MESH[4])].many.row
    (first, _) = json.loads(row["dist_per_worker"])
    assert first["parameters"] == row["model_parameters"]
    layers = 5
    gradients = 4 * (row["model_parameters"] - 4 * HIDDEN - CLASSES)
    means, norms = 4 * (4 * HIDDEN + CLASSES), 8 * (layers + 2 * (layers - 1))
    assert first["reduced_bytes"] == gradients + means + norms
    assert first["sent_bytes"] == 0


def test_exact_steps_sum_the_moments_too_but_those_of_the_features_once(findings: Findings) -> None:
    case = mesh("pdadmm", "layers=1,rows=4", set=EXACT)
    (first, *_) = json.loads(findings.pairs[name_of_mesh(case)].many.row["dist_per_worker"])
    gradients, moments = 4 * (FEATURES * HIDDEN + 3 * HIDDEN**2 + HIDDEN * CLASSES), 4 * 4 * HIDDEN**2
    means = 4 * (2 * (4 * HIDDEN + CLASSES) + 4 * HIDDEN)  # of r twice, and of p after layer 1
    assert first["reduced_bytes"] == 3 / 2 * (gradients + moments + means)


def test_memory_of_the_features_falls_with_the_rows(findings: Findings) -> None:
    """A worker keeps its rows of x, of y and of everything that has rows."""
    pair = findings.pairs[name_of_mesh(MESH[2])]
    state = [worker["state_bytes"] for worker in json.loads(pair.many.row["dist_per_worker"])]
    weights = 4 * pair.one.row["model_parameters"]
    row = 4 * FEATURES + 8 + 5 * 4 * HIDDEN  # x and y, four activations and a gradient
    assert pair.one.row["memory_state_bytes"] - state[0] == (ROWS - 9) * row
    assert state[0] - state[1] == row  # 9 and 8 rows
    assert state[0] >= 2 * weights
