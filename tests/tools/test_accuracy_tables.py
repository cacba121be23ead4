"""The tables of accuracies in README and documentation are those that the committed rows give."""

import re
from dataclasses import replace
from statistics import mean, median

import pytest
from stats_rows import a_row

from pdadmm_bench.core import resources
from pdadmm_bench.core.rows import Row, first_values, make_row
from pdadmm_bench.core.spec import run_spec
from pdadmm_bench.report.tables.near_best import seconds_to_near_best
from pdadmm_bench.suite.results import Results

ROOT = resources.roots()[-1]
PROGRAMS = [path.stem for path in sorted((ROOT / "tools" / "docs").glob("*.py")) if "\nTABLES = " in path.read_text()]
MARK = re.compile(r"<!-- ([a-z][a-z0-9-]*) -->")


@pytest.mark.slow
@pytest.mark.parametrize("name", PROGRAMS)
def test_the_pages_have_the_numbers_of_the_rows(tool, capsys, name: str) -> None:
    assert tool("everything").make(name, ["--check"]) == 0, capsys.readouterr().out


def test_every_marked_table_is_made_by_a_program(tool) -> None:
    assert set(PROGRAMS) <= set(tool("everything").programs())
    made = {(page, marked.name) for name in PROGRAMS for marked, _ in tool(name).TABLES for page in marked.pages}
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    assert made == {(page, name) for page in pages for name in MARK.findall(page.read_text(encoding="utf-8"))}


@pytest.mark.slow
def test_a_number_that_left_its_rows_is_found(tool, tmp_path) -> None:
    headline, kept = tool("headline"), tool("marked").kept
    page = tmp_path / "README.md"
    page.write_text(headline.TABLE.pages[0].read_text())
    marked = replace(headline.TABLE, pages=(page,))
    assert kept(marked, headline.table, check=True) == 0
    before, mark, after = page.read_text().partition("<!-- /headline -->")
    page.write_text(before.replace("7", "8") + mark + after)
    assert kept(marked, headline.table, check=True) == 1
    assert kept(marked, headline.table, check=False) == 0
    assert kept(marked, headline.table, check=True) == 0


def test_new_runs_join_the_committed_ones(tool, tmp_path) -> None:
    """A run that was made again replaces its row; the others keep theirs, and their steps."""
    committed = tool("marked").Marked("", tmp_path / "rows.json.gz", ())
    for name, runs in (("first", ["cora 70", "photo 90"]), ("second", ["cs 60", "photo 80"])):
        results = Results(tmp_path / name)
        results.prepare()
        for run in runs:
            dataset, accuracy = run.split()
            row = a_row({"dataset": dataset}, run_id=run, env_run_key=dataset)
            results.write(dataset, row)
            results.keep_history(dataset, row, [{"iteration": 0, "acc_val": float(accuracy)}], pytest.fail)
        committed.take([results.folder] if name == "first" else [committed.rows, results.folder])
    assert [row["run_id"] for row in committed.load()] == ["cora 70", "cs 60", "photo 80"]
    steps = {run: step["acc_val"] for run, (step,) in committed.histories().items()}
    assert steps == {"cora 70": 70, "cs 60": 60, "photo 80": 80}


def test_the_committed_rows_are_what_the_protocol_asks_for(tool) -> None:
    rows = tool("headline").TABLE.load()
    assert {row["env_protocol"] for row in rows} == {"3"}
    assert {row["model_hidden"] for row in rows} == {500}
    starts: dict = {}
    for row in rows:
        key = row["dataset_name"], row["dataset_split_seed"], row["model_layers"], row["model_init"], row["seed"]
        starts.setdefault(key, set()).add(row["weights_initial_sha256"])
    assert all(len(digests) == 1 for digests in starts.values()), "all optimizers of a seed start from the same weights"


def test_bold_is_only_what_the_paired_test_shows(tool) -> None:
    headline = tool("headline")

    def row(optimizer: str, seed: int, accuracy: float) -> dict:
        spec = run_spec({"dataset": "cora", "optimizer": optimizer, "seed": seed, "layers": 10})
        facts = {"status": "ok", "dataset_name": "cora", "acc_test_at_best_val": accuracy, "acc_val_best": 0.8}
        return make_row({**first_values(spec), **facts})

    noise = [0.001 * (seed % 3) for seed in range(10)]
    clear = [row("pdadmm", s, 0.8 + e) for s, e in enumerate(noise)] + [
        row("adam", s, 0.7 - e) for s, e in enumerate(noise)
    ]
    assert headline.table(clear).count("**") == 2
    alike = [row("pdadmm", s, 0.8 + e) for s, e in enumerate(noise)] + [
        row("adam", s, 0.8 + noise[-1 - s]) for s in range(10)
    ]
    assert headline.table(alike).count("**") == 0


def test_a_page_without_the_marks_is_an_error(tool) -> None:
    with pytest.raises(ValueError, match="headline"):
        tool("headline").TABLE.placed("no table here", "|")


def test_an_ablation_is_named_by_what_it_changes_and_paired_by_seed(tool) -> None:
    ablation = tool("ablation")

    def row(seed: int, accuracy: float, **settings) -> dict:
        spec = run_spec({"dataset": "cora", "seed": seed, **ablation.SETTINGS, **settings})
        found = {"acc_val_best": accuracy, "time_to_near_best_s": None if settings.get("set") else 10 * accuracy}
        return make_row({**first_values(spec), "status": "ok", "dataset_name": "cora", **found})

    rows = [row(0, 0.8), row(1, 0.7), row(1, 0.75, warm_start="none"), row(0, 0.82, set={"decay": "zero"})]
    assert ablation.table(rows).splitlines()[2:] == [
        "| as it is | 75.0% |",
        "| warm_start = none | +5.0 |",
        "| decay = zero | +2.0 |",
    ]
    assert ablation.seconds(rows).splitlines()[2:] == [
        "| as it is | 7.5 s |",
        "| warm_start = none | 7.5 s |",
        "| decay = zero | – |",
    ]
    with pytest.raises(ValueError, match="as it is"):
        ablation.table(rows[2:])


def test_pairs_share_seed_and_split(tool) -> None:
    """One optimizer a point ahead on every seed, the other shifted by a seed: an unpaired mean could not tell."""
    paired = tool("paired")

    def row(optimizer: str, seed: int, accuracy: float, seconds: float) -> dict:
        spec = run_spec({"dataset": "cora", "optimizer": optimizer, "seed": seed, "layers": 10, "init": "he"})
        facts = {"status": "ok", "dataset_name": "cora", "model_layers": 10, "model_warm_start": "2:100"}
        found = {"acc_test_at_best_val": accuracy, "time_to_near_best_s": seconds}
        return make_row({**first_values(spec), **facts, **found})

    spread = [0.7 + 0.03 * seed for seed in range(8)]
    rows = [row("pdadmm", seed, value + 0.01, 1.0) for seed, value in enumerate(spread)]
    rows += [row("adam", seed, value, 4.0) for seed, value in enumerate(spread)]
    assert paired.ahead(rows).splitlines()[-1] == "| adam | **+1.0** [+1.0, +1.0] (n=8) |"
    assert tool("sooner").factors(rows).splitlines()[-1] == "| adam | **4.0** [4.0, 4.0] (n=8) |"
    with pytest.raises(ValueError, match="pdadmm"):
        paired.ahead(rows[8:])


def test_seconds_to_a_common_accuracy_count_who_gets_there(tool) -> None:
    """The target is 99 % of the best of a pair, whoever reached it; the median takes the runs that never do in."""

    def row(optimizer: str, seed: int, best: float) -> Row:
        spec = run_spec({"dataset": "cora", "optimizer": optimizer, "seed": seed})
        return make_row({**first_values(spec), "status": "ok", "acc_val_best": best})

    def steps(*curve: tuple[float, float]) -> list[dict[str, float]]:
        return [{"iteration": i, "train_seconds": at, "acc_val": value} for i, (at, value) in enumerate(curve)]

    bests = {"adam": 0.8, "pdadmm": 0.79, "sgd": 0.7}
    rows = [row(name, seed, best) for name, best in bests.items() for seed in range(3)]
    curve = {"adam": [(1.0, 0.7), (2.0, 0.793), (3.0, 0.8)], "pdadmm": [(0.5, 0.79)], "sgd": [(0.1, 0.7)]}
    histories = {each["run_id"]: steps((0.0, 0.8), *curve[each["optimizer_name"]]) for each in rows}
    histories[rows[3]["run_id"]] = steps((0.0, 0.1), (0.5, 0.792))  # 99 % of 0.8
    soonest = tool("methods").soonest
    lines = soonest(rows, histories, ["pdadmm"]).splitlines()[2:]
    assert lines == ["| pdadmm | never (1/3) |", "| adam | 2.0 s (3/3) |", "| sgd | never (0/3) |"]


def test_seconds_are_the_iterations_of_a_run_at_the_pace_of_those_that_were_timed(tool) -> None:
    pace = tool("pace")

    def row(optimizer: str, seed: int, dataset: str = "cora", **found: float) -> Row:
        spec = run_spec({"dataset": dataset, "optimizer": optimizer, "seed": seed})
        return make_row({**first_values(spec), "status": "ok", "dataset_name": dataset, **found})

    rows = [row("adam", 0, acc_val_best=0.8), row("adam", 1, "photo", acc_val_best=0.8)]
    curve = [{"iteration": i, "train_seconds": 7.0 + i, "acc_val": 0.7 + 0.01 * i} for i in range(0, 11, 5)]
    histories = {each["run_id"]: curve for each in rows}
    seconds = ((1.0, 0.1), (3.0, 0.2), (90.0, 0.9))
    timed = [row("adam", i, time_warm_start_s=a, time_iteration_median_s=b) for i, (a, b) in enumerate(seconds)]
    found = pace.paced(rows, histories, timed)
    assert pace.own_seconds(rows[0], found) == pytest.approx(3.0 + 10 * 0.2)
    assert found[rows[1]["run_id"]] == curve, "its graph was not timed"
    with pytest.raises(KeyError, match="sgd"):
        pace.paced([sgd := row("sgd", 0)], {sgd["run_id"]: curve}, timed)


@pytest.mark.parametrize(
    ("name", "more_than"),
    [("accuracy", 50), ("sooner", 50), ("rivals", 50), ("many-labels", 50), ("many-sooner", 59)],
)
def test_histories_have_the_seconds_of_their_rows(tool, name: str, more_than: int) -> None:
    """Seconds to 99 % of a run's own best by its history are those that the run itself wrote, warm start included."""
    kept = tool("marked").Marked("", ROOT / "reports" / name / "rows.json.gz", ())
    rows = [row for row in kept.load() if row["time_to_near_best_s"] is not None]
    histories = kept.histories()
    own = [seconds_to_near_best([row], histories)[row["run_id"]] for row in rows]
    assert len(own) > more_than
    assert own == pytest.approx([row["time_to_near_best_s"] for row in rows], abs=2e-4)


def test_the_picture_shows_the_committed_means(tool) -> None:
    plot = tool("plot_accuracy")
    few, many = plot.committed()
    drawn = plot.figure(few, many)
    panels = {axes.get_title().partition(", ×")[0]: axes for axes in drawn.axes}
    for name, runs in (("cora, few labels", few), ("photo, 60 % of the rows", many)):
        dataset = name.partition(",")[0]
        colour = plot.colour_of("pdadmm")
        (x, y), *_ = (
            (line.get_xdata()[0], line.get_ydata()[0])
            for line in panels[name].lines
            if (line.get_color(), line.get_markersize()) == (colour, 7)
        )
        found = runs.of(dataset, "pdadmm")
        assert y == pytest.approx(100 * mean(row["acc_test_at_best_val"] for row in found))
        assert x == pytest.approx(median(plot.own_seconds(row, runs.histories) for row in found))
    assert {text.get_text() for text in drawn.legends[0].get_texts()} >= {"pdadmm", "adam", "pdadmm-m"}


def test_a_start_is_compared_on_the_seeds_that_all_starts_have(tool, monkeypatch) -> None:
    starts = tool("starts")

    def row(init: str, warm: str | None, seed: int, accuracy: float) -> dict:
        facts = {"dataset_name": "cora", "optimizer_name": "adam", "model_layers": 10, "model_init": init}
        found = {"acc_val_best": accuracy, "acc_test_at_best_val": accuracy}
        return {**facts, **found, "status": "ok", "model_warm_start": warm, "seed": seed, "dataset_split_seed": None}

    common = [row("he", "2:100", seed, 0.8 + 0.1 * (seed == 9)) for seed in (0, 1, 9)]
    others = [row(init, None, seed, 0.7) for init in ("identity", "he") for seed in (0, 1)]
    others[-1]["status"], others[-1]["acc_test_at_best_val"] = "diverged", None
    monkeypatch.setattr(type(starts.HEADLINE), "load", lambda _: common)
    lines = starts.table(others).splitlines()[-2:]
    assert lines == ["| identity | adam | 70.0; −10.0 (n=2) |", "| he | adam | diverged |"]


def test_depths_are_compared_with_the_learning_rate_of_the_best_validation_accuracy(tool) -> None:
    def row(layers: int, task: str, lr: float, acc_val: float, acc_test: float) -> dict:
        settings = {"dataset": task, "optimizer": "adam", "layers": layers, "set": {"lr": lr}}
        found = {"acc_val_best": acc_val, "acc_test_at_best_val": acc_test, "loss_train_final": 0.5}
        spec = run_spec({**settings, "warm_start": "none", "iterations": 500})
        return make_row({**first_values(spec), **found, "status": "ok"})

    two = [row(2, task, lr, 0.6 + lr, 0.5) for task in ("depth", "sbm") for lr in (0.1, 0.2)]
    ten = [row(10, "depth", 0.1, 0.9, 0.8), row(10, "depth", 0.2, 0.8, 0.99), row(10, "sbm", 0.1, 0.9, 0.9)]
    depth = tool("depth")
    table = depth.table(two + ten).splitlines()
    assert table[2].split("|")[1:4] == [" 2 ", " 50.0 (n=2) ", " 50.0 to 50.0 % "]
    assert table[3].split("|")[2:5] == [" 80.0 (n=1) ", " 80.0 to 80.0 % ", " 30.0 (n=1) "], "sbm has not all rates"
    assert "0.1" in table[3] and "0.2" in table[2]
    with pytest.raises(ValueError, match="two layers"):
        depth.table(ten)
