"""The forecast of a run is of the rows, widths and blocks that the run itself has."""

from __future__ import annotations

from typing import Any

import pytest

from pdadmm_bench.core.spec import run_spec
from pdadmm_bench.data.load import load_problem
from pdadmm_bench.optim import registry
from pdadmm_bench.optim.create import create_optimizer
from pdadmm_bench.parallel.cost import Prediction
from pdadmm_bench.parallel.forecast import UNIT_MACHINE, forecast, planned_bytes, planned_rows, planned_widths
from pdadmm_bench.parallel.layout import ProblemShape, layout_of

SMALL = {"dataset": "sbm[nodes=300,classes=3,features=12]", "hops": 2, "num_val": 40, "num_test": 50, "layers": 6}


def forecast_of(**values: Any) -> Prediction:
    spec = run_spec({**SMALL, "hidden": 16, **values})
    return forecast(spec, create_optimizer(spec), UNIT_MACHINE)


def test_rows_and_widths_are_those_of_the_loaded_data() -> None:
    spec = run_spec(SMALL)
    problem = load_problem(spec.data, report=lambda line: None)
    assert planned_rows(spec.data) == {name: len(part.x) for name, part in problem.parts().items()}
    assert tuple(planned_widths(spec)) == ProblemShape.of(problem, spec.model).widths


@pytest.mark.parametrize("reduce", ["5", "rows", "500"])
@pytest.mark.parametrize("train_per_class", [3, 30])
def test_widths_of_reduced_features(reduce: str, train_per_class: int) -> None:
    spec = run_spec({**SMALL, "reduce": reduce, "train_per_class": train_per_class})
    shape = ProblemShape.of(load_problem(spec.data, report=lambda line: None), spec.model)
    assert tuple(planned_widths(spec)) == shape.widths
    assert shape.widths[0] == min(3 * train_per_class, 36, 5 if reduce == "5" else 500)
    assert shape.fan_in == 36


def test_a_public_split_has_the_rows_of_its_card() -> None:
    assert planned_rows(run_spec({"dataset": "cora"}).data) == {"train": 140, "val": 500, "test": 1000}
    assert planned_rows(run_spec({"dataset": "cora", "split": "random", "train_per_class": 3}).data)["train"] == 7 * 3


@pytest.mark.parametrize("optimizer", ["pdadmm", "pdadmm-q", "dladmm", "adam"])
def test_blocks_and_bytes_are_those_of_the_layout(optimizer: str) -> None:
    spec = run_spec({**SMALL, "hidden": 16, "optimizer": optimizer, "gpus": 3})
    made = create_optimizer(spec)
    workers = forecast(spec, made, UNIT_MACHINE).workers
    shape = ProblemShape(planned_rows(spec.data)["train"], tuple(planned_widths(spec)))
    blocks = layout_of(spec, made.cost_profile, shape, spec.gpus).blocks
    assert tuple(worker.block for worker in workers) == blocks
    planned = [planned_bytes(spec, made, shape.widths, shape.rows, block) for block in blocks]
    assert [worker.state_bytes for worker in workers] == planned


def test_messages_have_the_wire_format_of_the_hyperparameters() -> None:
    one_byte, two_bytes = (forecast_of(optimizer="pdadmm-q", gpus=2, set={"levels": levels}) for levels in (256, 257))
    assert two_bytes.boundary_bytes == 2 * one_byte.boundary_bytes
    bf16 = forecast_of(optimizer="adam", gpus=2, precision="bf16")
    assert 2 * bf16.boundary_bytes == forecast_of(optimizer="adam", gpus=2).boundary_bytes


def test_every_optimizer_has_a_profile_that_can_be_forecast() -> None:
    for name in registry.names():
        assert forecast_of(optimizer=name).iteration_s > 0
