"""The Python API: the same runs, rows and errors as the command, of datasets and of rows of one's own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_type_hints

import pytest
import torch
from fresh_python import run_in_fresh_python
from torch_geometric.data import Data
from toy import toy_problem

import pdadmm_bench as pb
from pdadmm_bench.core.spec import DataSpec, ModelSpec, RunSpec
from pdadmm_bench.data.cards import SbmParameters, Split
from pdadmm_bench.data.problem import rows_digest
from pdadmm_bench.data.synthetic import sbm
from pdadmm_bench.library.settings import AllSettings, DataSettings, RunSettings

SMALL: dict[str, Any] = {"layers": 3, "hidden": 8, "iterations": 4, "threads": 1, "progress": False}


def graph(**more: Any) -> Data:
    """A small graph, with the masks of one split unless ``more`` says otherwise."""
    data, (split,) = sbm(
        SbmParameters(nodes=90, classes=3, features=5, degree=4), Split(kind="public", train=30, val=20, test=20)
    )
    for part, nodes in split.items():
        data[f"{part}_mask"] = torch.zeros(90, dtype=torch.bool).index_fill(0, nodes, True)
    for name, value in more.items():
        data[name] = value
    return data


@pytest.fixture(scope="module")
def results() -> pb.Results:
    return pb.run(pb.from_pyg(graph(), name="mine", hops=1), ["pdadmm", "adam"], seeds=2, **SMALL)


def test_the_import_is_quick_and_a_part_of_the_package_stays_a_function() -> None:
    """``report`` is a function and a package, whichever is used first."""
    code = """
import sys
import pdadmm_bench as pb
print(sorted({"torch", "rich", "pydantic", "mlflow"} & set(sys.modules)), set(pb.API) <= set(dir(pb)))
from pdadmm_bench.report import table
print(pb.report.table is table, callable(pb.report), "torch" in sys.modules)
"""
    assert run_in_fresh_python(code) == ["[] True", "True True False"]
    with pytest.raises(pb.UserError, match="there are no results to report"):
        pb.report([])


def test_a_graph_of_ones_own_says_so_everywhere(results: pb.Results) -> None:
    row, spec = results[0], json.loads(results[0]["spec"])
    assert row["dataset_name"] == spec["dataset"] == "mine (custom data)"
    assert row["dataset_source"] == "custom data"
    assert row["env_protocol"] == "3 but custom data hops=1 reduce=none"
    assert (row["dataset_hops"], row["dataset_feature_scale"], row["dataset_split"]) == (1, "hop", "given 0")
    assert (row["dataset_train_count"], row["dataset_val_count"], row["dataset_edges"]) == (30, 20, 360)
    assert "custom data" in str(results.table())
    assert [row["status"] for row in results] == ["ok"] * 4


def test_rows_of_ones_own_are_taken_as_they_are_and_their_digest_is_computed() -> None:
    problem = toy_problem(sha256="somebody says so")
    row = pb.run(problem, "adam", **SMALL)[0]
    assert row["dataset_sha256"] == rows_digest(problem.parts().values())
    assert row["dataset_name"] == "toy (custom data)"
    assert row["env_protocol"] == "3 but custom data split=given hops=0 feature_scale=none reduce=none"
    assert row["dataset_train_count"] == len(problem.train.y)


def test_a_split_is_drawn_where_there_are_no_masks_and_nodes_without_a_label_are_in_none() -> None:
    data = graph()
    y = data.y.clone()
    y[:10] = -1
    problem = pb.from_pyg(Data(x=data.x, y=y, edge_index=data.edge_index[:, : data.num_edges // 2]), hops=0)
    assert [len(rows.y) for rows in problem.parts().values()] == [48, 16, 16]
    assert problem.split == "fraction 0.6"
    assert problem.facts["dataset_edges"] == data.num_edges
    each = pb.from_pyg(Data(x=data.x, y=data.y, edge_index=data.edge_index), split="per-class", num_val=9, num_test=9)
    assert len(each.train.y) == 60


def test_results_are_frames_tables_pictures_and_files(results: pb.Results, tmp_path: Path) -> None:
    frame = results.frame()
    assert list(frame["optimizer_name"]) == ["pdadmm", "adam"] * 2
    steps = results.steps()
    assert len(steps) == 4 * 5
    assert {"iteration", "time_iteration_s", "time_train_s", "acc_val", "acc_test"} <= set(steps)
    ends = steps.groupby("run_id")["time_train_s"].max()
    assert ends.to_dict() == {row["run_id"]: row["time_train_s"] for row in results}
    assert repr(results) == str(results) == str(results.table()), "not every value of every row"
    assert repr(pb.Results([])) == "no runs"
    assert "pdadmm" in str(results.table()) and "<table" in results.table()._repr_html_()
    assert len(results.plot().axes) == 2
    for name in ("rows.json", "kept/rows.json.gz"):
        results.save(tmp_path / name)
        again = pb.read(tmp_path / name)
        assert again.rows == results.rows
        assert again.histories == results.histories
    assert {path.name for path in (tmp_path / "kept").iterdir()} == {"rows.json.gz", "rows.steps.json.gz"}
    assert pb.read(tmp_path / "kept").histories == results.histories
    from pdadmm_bench.cli.sources import read_sources

    # A suite's runs are in MLflow, whatever is named beside it.
    assert read_sources([str(tmp_path), str(tmp_path / "kept")], None).tracked
    (page,) = pb.report(results, tmp_path / "report")
    assert "custom data" in page.read_text()


def test_two_sides_are_compared_as_the_command_does(results: pb.Results) -> None:
    found = pb.compare(results.only(optimizer="adam"), results.only(optimizer="pdadmm"))
    assert "adam → pdadmm" in str(found)
    assert list(found.frame()["pairs"]) == [2, 2]
    assert len(found.verdicts) == 2


@pytest.mark.dist
def test_a_graph_of_ones_own_is_split_over_workers() -> None:
    problem = pb.from_pyg(graph(), hops=1)
    alone, split = (
        pb.run(
            problem, "pdadmm", workers=workers, **{**SMALL, "layers": 4, "warm_start": "none", "deterministic": True}
        )
        for workers in (1, 2)
    )
    assert split[0]["dist_workers"] == 2
    assert split[0]["weights_sha256"] == alone[0]["weights_sha256"]
    assert split[0]["dataset_name"] == "custom data"


BAD_GRAPHS: dict[str, dict[str, Any]] = {
    "no x": {"x": None},
    "y is torch.float32": {"y": torch.zeros(90)},
    "y has fewer than two classes": {"y": torch.zeros(90, dtype=torch.int64)},
    "names node 90, and there are 90": {"edge_index": torch.tensor([[0], [90]])},
    "it has to be finite": {"x": torch.full((90, 5), float("nan"))},
    "has train_mask but no test_mask": {"test_mask": None},
    "val_mask is torch.int64": {"val_mask": torch.zeros(90, dtype=torch.int64)},
    "test_mask has no node": {"test_mask": torch.zeros(90, dtype=torch.bool)},
}


@pytest.mark.parametrize("message", BAD_GRAPHS)
def test_a_graph_that_is_none_is_refused(message: str) -> None:
    with pytest.raises(pb.UserError, match=message):
        pb.from_pyg(graph(**BAD_GRAPHS[message]))


def test_input_is_refused_when_it_is_given() -> None:
    problem = toy_problem()
    refusals = {
        "unknown optimizer 'adma': did you mean adam": lambda: pb.run(problem, "adma"),
        "unknown optimizer 'nope'": lambda: pb.spec(optimizer="nope"),
        "unknown dataset 'coraa': did you mean cora": lambda: pb.spec(dataset="coraa"),
        "unknown preset 'nope'": lambda: pb.spec(preset="nope"),
        "unknown dataset 'nope'": lambda: pb.run("nope", "adam"),
        "'mine .custom data.' has no card": lambda: pb.load("mine (custom data)"),
        "unknown setting 'splitt'": lambda: pb.load("cora", splitt="full"),  # type: ignore[call-arg]
        "hops: a setting of the data": lambda: pb.run(problem, "adam", hops=2),  # type: ignore[call-arg]
        "unknown run option 'layer'": lambda: pb.run(problem, "adam", layer=2),  # type: ignore[call-arg]
        "unknown run option 'dry_run'": lambda: pb.run(problem, "adam", dry_run=True),  # type: ignore[call-arg]
        "workers and gpus are one setting: give one": lambda: pb.spec(workers=2, gpus=2),
        "9 workers need at least as many layers": lambda: pb.run(problem, "adam", workers=9, layers=3),
        "results has no row with optimizer=sgd": lambda: pb.run(problem, "adam", **SMALL).only(optimizer="sgd"),
    }
    for message, call in refusals.items():
        with pytest.raises(pb.UserError, match=message):
            call()


@pytest.mark.parametrize(
    ("name", "right"),
    {"gpus": "workers", "seed": "seeds", "optimizer": "optimizers", "quiet": "progress", "json_file": "json"}.items(),
)
def test_a_word_of_the_command_is_refused_with_the_argument_that_is_meant(name: str, right: str) -> None:
    settings: dict[str, Any] = {name: 2}
    with pytest.raises(pb.UserError, match=rf"^{name}=2: run\(\) has the argument {right} for it$"):
        pb.run(toy_problem(), "adam", **settings)


def test_workers_and_gpus_are_one_setting_of_a_run() -> None:
    assert pb.spec(workers=2) == pb.spec(gpus=2)
    assert pb.spec(workers=2).gpus == 2


def test_the_types_have_the_names_of_the_settings() -> None:
    """A new setting of a run joins ``pdadmm_bench/library/settings.py``."""
    assert {"dataset", *DataSettings.__annotations__} == set(DataSpec.model_fields)
    own = set(RunSpec.model_fields) - {"data", "model", "optimizer", "seed", "gpus"}
    assert set(RunSettings.__annotations__) == own | set(ModelSpec.model_fields)
    assert {"dataset", "optimizer", "seed", "gpus", "workers"} <= set(AllSettings.__annotations__)
    types = get_type_hints(AllSettings)
    for model in (DataSpec, ModelSpec, RunSpec):
        fields = {name: field.annotation for name, field in model.model_fields.items() if name in types}
        differing = {name for name, annotation in fields.items() if annotation != types[name]}
        assert differing <= {"reduce"}, differing  # takes a number too
