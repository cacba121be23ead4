"""The specification of a run."""

from __future__ import annotations

import pytest

from pdadmm_bench.core.errors import UserError
from pdadmm_bench.core.spec import run_spec


def test_specs_survive_their_flat_form() -> None:
    spec = run_spec({"dataset": "cora", "layers": 3, "optimizer": "adam", "set": {"lr": 0.1}, "seed": 5})
    assert run_spec(spec.flat()) == spec
    with pytest.raises(UserError, match="unknown run option 'layer': did you mean layers"):
        run_spec({"layer": 3})


def test_microbatches_are_a_number_or_measured() -> None:
    assert run_spec({"microbatches": "8"}).microbatches == run_spec({"microbatches": 8}).microbatches == 8
    assert (run_spec({"microbatches": "auto"}).microbatches, run_spec({"microbatches": "auto"}).given_microbatches) == (
        "auto", None,
    )  # fmt: skip
    for value in ("0", "-1", "2.5", "many", True, 0):
        with pytest.raises(UserError, match=r"microbatches=.* is not valid: give a number of micro-batches"):
            run_spec({"microbatches": value})
