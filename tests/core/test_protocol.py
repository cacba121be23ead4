"""The protocol: what is fixed is named, features have one scale, presets come from validation accuracy alone."""

import csv
import json
import tomllib

import pytest
import torch

from pdadmm_bench.core.protocol import note, protocol
from pdadmm_bench.core.rows import first_values, make_row
from pdadmm_bench.core.spec import EARLIER, recorded_spec, run_spec
from pdadmm_bench.data.load import load_problem
from pdadmm_bench.data.problem import Problem, Rows

FEW = {"reduce": "rows"}
SBM = "sbm[nodes=300,classes=3,features=12]"


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({}, "3 but reduce=none"),
        ({**FEW, "init": "identity", "warm_start": "none", "layers": 3, "seed": 4}, "3"),
        ({**FEW, "hops": 2}, "3 but hops=2"),
        ({**FEW, "feature_scale": "none", "set": {"rho": 1.0}}, "3 but feature_scale=none set={'rho': 1.0}"),
        ({**FEW, "preset": "published", "precision": "bf16"}, "3 but precision=bf16 preset=published"),
        ({**FEW, "batch_size": 20}, "3 but batch_size=20"),
        ({"split": "fraction", "reduce": 256, "batch_size": 512}, "3"),
        ({"split": "fraction", "reduce": "rows", "train_fraction": 0.5}, "3 but train_fraction=0.5 reduce=rows"),
    ],
)
def test_a_run_names_its_protocol_and_where_it_departs(settings: dict, text: str) -> None:
    assert protocol(run_spec(settings)) == text
    assert first_values(run_spec(settings))["env_protocol"] == text


def test_a_note_names_every_protocol_once() -> None:
    assert note(["1", "1", None]) == "protocol: 1; none (an older run) (docs/protocol.md)"


def test_rows_without_a_setting_were_made_before_there_was_one() -> None:
    before = {name: value for name, value in run_spec({}).flat().items() if name not in EARLIER}
    assert run_spec(recorded_spec(json.dumps(before))).data.feature_scale == "none"
    assert run_spec(recorded_spec(json.dumps(before))).stages() == []
    assert run_spec(recorded_spec(json.dumps(run_spec({}).flat()))) == run_spec({})


@pytest.mark.parametrize(("scale", "blocks"), [("unit", 1), ("hop", 3)])
def test_scaled_features_have_a_mean_square_of_one_in_training(scale: str, blocks: int) -> None:
    raw, scaled = (
        load_problem(run_spec({"dataset": SBM, "hops": 2, "feature_scale": name}).data, report=lambda _: None)
        for name in ("none", scale)
    )
    rms = torch.tensor([float(word) for word in str(scaled.facts["dataset_feature_rms"]).split()])
    assert len(rms) == blocks
    for block in scaled.train.x.chunk(blocks, dim=1):
        assert float(block.square().mean()) == pytest.approx(1, rel=1e-5)
    for name, rows in scaled.parts().items():
        for block, before, factor in zip(
            rows.x.chunk(blocks, 1), raw.parts()[name].x.chunk(blocks, 1), rms, strict=True
        ):
            torch.testing.assert_close(block * factor, before, rtol=1e-5, atol=1e-6)
    assert (scaled.facts["dataset_feature_scale"], raw.facts["dataset_feature_scale"]) == (scale, "none")
    assert scaled.sha256 == raw.sha256


def test_features_that_are_all_zero_stay_so() -> None:
    rows = Rows(x=torch.zeros(3, 2), y=torch.tensor([0, 1, 0]))
    problem = Problem(name="z", split="random", num_classes=2, sha256="", train=rows, val=rows, test=rows)
    assert torch.equal(problem.unit_scaled().train.x, rows.x)


def _row(optimizer: str, dataset: str, lr: float, acc_val: float, acc_test: float, **more) -> dict:
    settings = {"dataset": dataset, "optimizer": optimizer, "set": {"lr": lr}, "preset": "none", **more}
    values = {
        "status": "ok",
        "dataset_val_count": 500,
        "acc_val_best": acc_val,
        "acc_test_at_best_val": acc_test,
        "time_train_s": 1.0,
    }
    return make_row({**first_values(run_spec(settings)), **values})


def test_presets_are_chosen_by_mean_validation_accuracy_from_the_common_start(tool, tmp_path) -> None:
    choose = tool("choose_defaults")
    rows = [
        _row("adam", "cora", 0.1, 0.9, 0.1),
        _row("adam", "pubmed", 0.1, 0.5, 0.1),
        _row("adam", "cora", 0.2, 0.8, 0.9),  # the higher test accuracy, which nobody asks for
        _row("adam", "pubmed", 0.2, 0.5, 0.9),
        _row("adam", "cora", 0.3, 0.99, 0.9),  # best on one graph, failed on the other
        {**_row("adam", "pubmed", 0.3, 0.99, 0.9), "status": "diverged"},
        _row("adam", "cora", 0.4, 0.99, 0.9, init="identity", warm_start="none"),  # from another start
        _row("adam", "pubmed", 0.4, 0.99, 0.9, init="identity", warm_start="none"),
        _row("adam", "cora", 0.5, 0.99, 0.9),  # on one graph only
    ]
    path, table, presets = tmp_path / "rows.json", tmp_path / "reports" / "search.csv", tmp_path / "presets"
    path.write_text(json.dumps(rows))
    presets.mkdir()
    choose.main(path, table, presets)
    chosen = tomllib.loads((presets / "adam.toml").read_text())["entry"]
    assert chosen == [{"values": {"lr": 0.1}}, {"datasets": ["cora"], "values": {"lr": 0.3}}]
    with table.open() as file:
        kept = list(csv.DictReader(file))
    assert [json.loads(line["hyperparameters"])["lr"] for line in kept] == [0.1, 0.2, 0.3, 0.4]
    assert kept[2]["acc_val_best_pubmed"] == "0.0000"
    assert "test" not in table.read_text()


def test_the_quantised_form_takes_the_values_of_pdadmm_with_rho_equal_to_nu(tool) -> None:
    presets = tool("choose_defaults").PRESETS
    exact, quantised = (
        [entry for entry in tomllib.loads((presets / f"{name}.toml").read_text())["entry"] if "splits" not in entry]
        for name in ("pdadmm", "pdadmm-q")
    )
    assert quantised == [{**entry, "values": {**entry["values"], "rho": entry["values"]["nu"]}} for entry in exact]
