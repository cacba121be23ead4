"""Suite files: what they expand to, and what they refuse."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pdadmm_bench.core import resources
from pdadmm_bench.core.errors import UserError
from pdadmm_bench.core.protocol import protocol
from pdadmm_bench.core.rows import first_values, make_row
from pdadmm_bench.core.spec import RunSpec
from pdadmm_bench.data.catalog import load_card
from pdadmm_bench.optim import contenders
from pdadmm_bench.report.assemble import assemble, pictures
from pdadmm_bench.suite.file import Suite, find, names, read
from pdadmm_bench.training.setup import resolve

SMALL = 'dataset = "sbm[nodes=300,classes=3,features=12]"\n'


@pytest.fixture
def suite(tmp_path: Path) -> Any:
    """``suite(text)`` reads a suite with this text after a summary."""

    def make(text: str) -> Suite:
        path = tmp_path / "mine.toml"
        path.write_text(f'summary = "a try"\n{text}')
        return read(path)

    return make


def flats(suite: Suite) -> list[dict[str, Any]]:
    return [spec.flat() for spec in suite.specs.values()]


def toml(value: Any) -> str:
    """Strings, numbers, booleans, lists and tables read the same in TOML, but for the colon."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {toml(item)}" for key, item in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    return json.dumps(value)


AXES = {
    "optimizer": ["adam", "pdadmm", "sgd"],
    "layers": [2, 3, 10],
    "hidden": [8, 16],
    "iterations": [1, 200],
    "init": ["he", "normal", "identity"],
    "seeds": [0, 1, 5],
    "split_seeds": [0, 2],
    "normalize": [True, False],
}
SETTING = {"seeds": "seed", "split_seeds": "split_seed"}
DEFAULTS = RunSpec().flat()


@st.composite
def tables(draw: st.DrawFn) -> dict[str, Any]:
    """Some axes, each with one value or a list of them, doubles allowed."""
    keys = draw(st.lists(st.sampled_from(sorted(AXES)), unique=True, max_size=4))
    table: dict[str, Any] = {}
    for key in keys:
        values = draw(st.lists(st.sampled_from(AXES[key]), min_size=1, max_size=3))
        table[key] = values[0] if len(values) == 1 and key not in SETTING and draw(st.booleans()) else values
    return table


@st.composite
def exclusions(draw: st.DrawFn) -> dict[str, Any]:
    keys = draw(st.lists(st.sampled_from(sorted(AXES)), unique=True, min_size=1, max_size=2))
    return {SETTING.get(key, key): draw(st.sampled_from(AXES[key])) for key in keys}


@given(tables(), st.lists(tables(), min_size=1, max_size=3), st.lists(exclusions(), max_size=2))
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_suite_is_the_union_of_products_without_the_excluded(
    tmp_path: Path, defaults: dict[str, Any], entries: list[dict[str, Any]], excludes: list[dict[str, Any]]
) -> None:
    expected: set[str] = set()
    excluded = [False] * len(excludes)
    named = 0
    for entry in entries:
        merged = {"dataset": "sbm", "optimizer": "pdadmm", **defaults, **entry}
        axes = [value if isinstance(value, list) else [value] for value in merged.values()]
        for values in itertools.product(*(dict.fromkeys(axis) for axis in axes)):
            run = DEFAULTS | {SETTING.get(key, key): value for key, value in zip(merged, values, strict=True)}
            matched = [all(run[key] == value for key, value in exclude.items()) for exclude in excludes]
            excluded = [seen or match for seen, match in zip(excluded, matched, strict=True)]
            if not any(matched):
                named += 1
                expected.add(json.dumps(run, sort_keys=True))
    lines = ['summary = "s"', f"exclude = {toml(excludes)}", "[defaults]", 'dataset = "sbm"']
    lines += [f"{key} = {toml(value)}" for key, value in defaults.items()]
    for entry in entries:
        lines += ["[[entry]]", *(f"{key} = {toml(value)}" for key, value in entry.items())]
    path = tmp_path / "drawn.toml"
    path.write_text("\n".join(lines))
    if not all(excluded):
        with pytest.raises(UserError, match="matches no run"):
            read(path)
    elif not expected:
        with pytest.raises(UserError, match="excludes every run"):
            read(path)
    else:
        suite = read(path)
        found = [json.dumps(flat, sort_keys=True) for flat in flats(suite)]
        assert len(found) == len(set(found))
        assert set(found) == expected
        assert suite.duplicates == named - len(expected)


def test_order_is_rows_then_seeds_then_the_rest(suite: Any) -> None:
    """Runs on the same rows follow each other, and every setting is made once before the second seed begins."""
    made = suite('[[entry]]\noptimizer = ["adam", "sgd"]\nseeds = 2\nlayers = [2, 3]\ndataset = ["photo", "cora"]\n')
    order = [(f["dataset"], f["seed"], f["layers"], f["optimizer"]) for f in flats(made)]
    assert order == list(itertools.product(("photo", "cora"), (0, 1), (2, 3), ("adam", "sgd")))


def test_hyperparameters_are_axes_and_the_nearest_word_wins(suite: Any) -> None:
    made = suite(
        f"""
        [defaults]
        {SMALL}
        preset = "none"
        set = {{ weight_decay = 0.5, adam = {{ lr = 0.25, beta1 = 0.5 }} }}
        [[entry]]
        optimizer = ["adam", "sgd"]
        set.adam.lr = [0.125, 0.25]
        set.lr = 0.0625
        [[entry]]
        optimizer = "adam"
        set.weight_decay = 0.75
        """
    )
    sets = [(f["optimizer"], f["set"]) for f in flats(made)]
    assert sets == [
        ("adam", {"weight_decay": 0.5, "lr": 0.125, "beta1": 0.5}),
        ("adam", {"weight_decay": 0.5, "lr": 0.25, "beta1": 0.5}),
        ("sgd", {"weight_decay": 0.5, "lr": 0.0625}),
        ("adam", {"weight_decay": 0.75, "lr": 0.25, "beta1": 0.5}),
    ]


def test_settings_without_effect_make_no_runs_of_their_own(suite: Any) -> None:
    """One worker has no partition and no schedule, pdADMM no pipeline, and a public split no seed."""
    made = suite(
        """
        [[entry]]
        dataset = "cora"
        optimizer = ["pdadmm", "adam"]
        layers = 4
        gpus = [1, 2]
        schedule = ["gpipe", "1f1b"]
        split_seeds = 3
        """
    )
    assert [(f["optimizer"], f["gpus"], f["schedule"]) for f in flats(made)] == [
        ("pdadmm", 1, "gpipe"), ("adam", 1, "gpipe"), ("pdadmm", 2, "gpipe"), ("adam", 2, "gpipe"), ("adam", 2, "1f1b"),
    ]  # fmt: skip
    assert made.duplicates == 24 - 5
    assert len(suite('[[entry]]\ndataset = "photo"\nsplit_seeds = 3').specs) == 3


def test_workers_are_called_workers(suite: Any) -> None:
    """``workers`` is the word of the command, and ``gpus`` the older name, which rows keep."""
    older = suite("[defaults]\ngpus = 2\n[[entry]]\nexclude = [{ gpus = 4 }]\ngpus = [2, 4]\nlayers = 4")
    made = suite("[defaults]\ngpus = 2\n[[entry]]\nexclude = [{ workers = 4 }]\nworkers = [2, 4]\nlayers = 4")
    assert [f["gpus"] for f in flats(made)] == [2]
    assert made.version == older.version


def test_a_preset_and_its_values_are_one_run(suite: Any) -> None:
    default = resolve(RunSpec()).optimizer.hyperparameters.model_dump(exclude_none=True)
    entries = ['[[entry]]\noptimizer = "pdadmm"', f'[[entry]]\npreset = "none"\nset = {toml(default)}']
    made = suite("\n".join(entries))
    assert (len(made.specs), made.duplicates) == (1, 1)
    assert next(iter(made.specs.values())).preset == "default"


def test_the_version_is_that_of_the_runs_not_of_the_text(suite: Any) -> None:
    first = suite('[[entry]]\nlayers = [2, 3]\noptimizer = "adam"\n')
    otherwise = suite(
        '# said otherwise\n[defaults]\noptimizer = "adam"\n[[entry]]\nlayers = 3\n[[entry]]\nlayers = 2\n'
    )
    assert otherwise.version == first.version
    assert suite('[[entry]]\nlayers = [2, 4]\noptimizer = "adam"\n').version != first.version
    assert suite('[[entry]]\nlayers = [2, 3]\noptimizer = "adam"\nset.lr = 0.5\n').version != first.version


REFUSED = {
    "[[entry]]\nlayerz = 3": "unknown key in entry 1 of mine.toml: 'layerz': did you mean layers?",
    "[[entry]]\nseed = 3": "'seed': did you mean seeds",
    "[[entry]]\nlayers = 2\n[[entry]]\nhiden = 3": "unknown key in entry 2 of mine.toml: 'hiden': did you mean hidden?",
    "[defaults]\nexclude = []\n[[entry]]": "unknown key in defaults of mine.toml: 'exclude'",
    "[defalts]\n[[entry]]": "unknown key of mine.toml: 'defalts': did you mean defaults?",
    "[defaults]\nlayers = 2": "key of mine.toml: entry is required",
    "entry = 3": "entry=3 is not valid",
    "[[entry]]\nlayers = 1": "entry 1 of mine.toml: layers=1 is not valid: input should be greater than or equal to 2",
    "[[entry]]\nlayers = []": "layers=[] is not valid: give at least one value",
    "[[entry]]\nseeds = 0": "seeds=0 is not valid: give at least one value",
    "[[entry]]\nseeds = [-1]": "seed=-1 is not valid",
    "[[entry]]\nseeds = 1.5": "seed=1.5 is not valid",
    "[[entry]]\ndataset = 'coar'": "unknown dataset 'coar': did you mean cora",
    "[[entry]]\noptimizer = ['adm']": "unknown optimizer 'adm': did you mean adam",
    "[[entry]]\nset.roh = 3": "unknown hyperparameter of pdadmm: 'roh': did you mean rho?",
    "[[entry]]\nset.rho = [1, -1]": "rho=-1 is not valid: input should be greater than 0",
    "[[entry]]\nset.adam.lr = 1": "set.adam: adam is not among the optimizers of this entry",
    "[[entry]]\nset.adma.lr = 1": "unknown optimizer 'adma'",
    "[[entry]]\nset = 3": "set is a table",
    "[[entry]]\npreset = 'defalt'": "unknown preset 'defalt': did you mean default?",
    "[[entry]]\ngpus = [2, 4]\nlayers = 3": "4 workers need at least as many layers, got 3",
    "[[entry]]\nworkers = [2, 4]\nlayers = 3": "4 workers need at least as many layers, got 3",
    "[[entry]]\nworkers = 2\ngpus = 2": "entry 1 of mine.toml: workers and gpus are one setting: give one of them",
    "[[entry]]\nlocal_only = 1": "local_only=1 is not valid: give true or false",
    "[[entry]]\nexclude = [{ seeds = 3 }]": "unknown key in entry 1 of mine.toml: exclude 'seeds': did you mean seed",
    "[[entry]]\nexclude = [{ optimizer = 'adam' }]": "exclude {'optimizer': 'adam'} matches no run",
    "[[entry]]\nexclude = ['adam']": "give a table such as",
    "exclude = [{ layers = 3 }]\n[[entry]]\nlayers = 2": "mine.toml: exclude {'layers': 3} matches no run",
    "exclude = [{ layers = 2 }]\n[[entry]]\nlayers = 2": "mine.toml excludes every run that it asks for",
    "[[entry]]\nseeds = 1000\nsplit_seeds = 1000": "asks for 1,000,000 runs; at most 100,000",
    "save = 'no way'\n[[entry]]": "save='no way' is not valid",
    "summary = 'twice'\n[[entry]]": "not valid TOML",
}


@pytest.mark.parametrize("text", REFUSED, ids=lambda text: text.replace("\n", " "))
def test_what_a_suite_cannot_mean_is_one_sentence(text: str, suite: Any) -> None:
    with pytest.raises(UserError) as refused:
        suite(text)
    assert REFUSED[text] in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_suite_is_found_by_name_and_by_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shipped = resources.find("runners/smoke.toml")
    assert find("smoke") == find("smoke.toml") == find("runners/smoke.toml") == shipped
    assert find("tuning/search") == resources.find("runners/tuning/search.toml")
    Path("smoke.toml").touch()
    assert find("smoke.toml") == Path("smoke.toml")
    with pytest.raises(UserError, match="unknown suite 'smok': did you mean smoke"):
        find("smok")
    with pytest.raises(UserError, match=r"no such suite file: elsewhere/smoke\.toml"):
        find("elsewhere/smoke.toml")
    with pytest.raises(UserError, match="unknown suite 'tuning/serch': did you mean tuning/search"):
        find("tuning/serch")


def test_what_lies_beside_the_suites_is_not_called_one() -> None:
    assert "speed" not in names() and set(names()) >= {"smoke", "accuracy", "scaling", "ci", "tuning/search"}
    with pytest.raises(UserError, match="unknown suite 'nowhere'") as refused:
        find("nowhere")
    assert "speed" not in str(refused.value)
    with pytest.raises(UserError, match=r"speed\.toml is no suite, since its entries have names: pdadmm-bench profile"):
        read(find("speed"))


def test_smoke_has_what_each_table_and_picture_of_a_report_needs() -> None:
    """With made-up numbers, since what is asked here is which runs there are."""
    rows = []
    for spec in read(find("smoke")).specs.values():
        wire = {"pdadmm-q": "uint8"}.get(spec.optimizer, "fp32" if spec.wire == "auto" else spec.wire)
        values = {
            **first_values(spec), "status": "ok", "dist_device": "cpu",
            "acc_test_at_best_val": 0.5, "time_iteration_median_s": 1.0, "time_train_s": 9.0, "dist_wire": wire,
            "dist_sent_bytes": 8, "time_target_accuracy": spec.target, "time_to_target_s": 9.0,
        }  # fmt: skip
        rows.append(make_row(values))
    step = {"iteration": 1, "train_seconds": 1.0, "acc_val": 0.5, "objective": 1.0, "primal_residual": 1.0}
    histories = {row["run_id"]: [step] for row in rows}
    report = assemble(rows, [], histories=histories)
    assert report.missing == []
    assert {table.name.rstrip("-12") for table in report.tables} == {
        "accuracy", "iteration-time", "speedup-by-workers", "speedup-by-depth", "speedup-by-width", "time-to-target",
        "profile", "communication", "time-to-near-best",
    }  # fmt: skip
    communication = next(table for table in report.tables if table.name == "communication")
    assert {line[-3].value for line in communication.rows} == {"fp32", "bf16", "uint8"}
    drawn = pictures(rows, histories, report.points)
    assert {name.split("-")[0] for name in drawn} == {"answer", "convergence", "speedup", "profile"}
    assert len(drawn["speedup"].panels) == 3


@pytest.mark.slow
def test_the_shipped_suites_are_what_they_say() -> None:
    suites = {name: read(find(name)) for name in ("smoke", "accuracy", "many-labels", "scaling", "ci", "paper-g")}
    assert [name for name, suite in suites.items() if not suite.save] == ["smoke"]

    accuracy = flats(suites["accuracy"])
    graphs = {f["dataset"] for f in accuracy}
    assert graphs == suites["accuracy"].local_only >= {"cora", "citeseer", "pubmed", "photo", "ogbn-products"}
    methods = [*contenders(), "pdadmm-m", "ddg"]
    for name, (seeds, splits), (fewer_seeds, fewer_splits) in (("cora", (11, 1), (3, 1)), ("photo", (2, 6), (1, 3))):
        found = [
            (f["optimizer"], f["layers"], f["init"], f["warm_start"], f["seed"], f["split_seed"])
            for f in accuracy
            if f["dataset"] == name
        ]
        common = itertools.product(methods, (2, 10), ["he"], ["auto"], range(seeds), range(splits))
        scratch = itertools.product(
            methods, [10], ("he", "identity"), ["none"], range(fewer_seeds), range(fewer_splits)
        )
        repeated = itertools.product(
            ("pdadmm-m", "adam", "adadelta"), [10], ["he"], ["none"], range(seeds), range(splits)
        )
        assert sorted(found) == sorted({*common, *scratch, *repeated})

    many = flats(suites["many-labels"])
    gradient = ["sgd", "adam", "adagrad", "adadelta"]
    methods = [
        *((name, 0) for name in ("pdadmm", "pdadmm-q", "pdadmm-m", "pdadmm-c", "dladmm", *gradient, "ddg")),
        *((name, 512) for name in gradient),
    ]
    pairs = {"photo": 10, "computers": 10, "cora": 10, "pubmed": 10, "cs": 8}
    found = [(f["dataset"], (f["optimizer"], f["batch_size"]), (f["seed"], f["split_seed"])) for f in many]
    expected = [(graph, method, (pair, pair)) for graph, n in pairs.items() for method in methods for pair in range(n)]
    assert sorted(found) == sorted(expected)
    for name in ("accuracy", "many-labels"):
        assert {protocol(spec) for spec in suites[name].specs.values()} == {"3"}

    paper = flats(suites["paper-g"])
    assert {(f["layers"], f["iterations"], f["hidden"]) for f in paper} == {(10, 200, 100), (10, 200, 500)}
    assert len(paper) == 9 * 2 * 6 * 5
    assert {f["preset"] for f in paper if f["hidden"] == 500} == {"published"}

    scaling = flats(suites["scaling"])
    assert {f["gpus"] for f in scaling} == {1, 2, 4, 8, 16}
    assert len({f["layers"] for f in scaling}) > 1 and len({f["hidden"] for f in scaling}) > 1
    assert {f["threads"] for f in scaling} == {1}
    for suite in suites.values():
        assert {load_card(f["dataset"]).name for f in flats(suite)}
        assert all(resolve(spec).unsupported is None for spec in suite.specs.values())
