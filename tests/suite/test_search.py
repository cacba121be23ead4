"""Searches: the same trials whenever they are drawn, inside the declared space, as many for every optimizer."""

from pathlib import Path
from typing import Any

import pytest

from pdadmm_bench.core import resources
from pdadmm_bench.core.errors import UserError
from pdadmm_bench.optim import contenders, registry
from pdadmm_bench.suite.file import find, read
from pdadmm_bench.suite.search import Search, draw


@pytest.fixture
def space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """``space(text)`` declares the space of adam."""
    folder = tmp_path / "runners" / "tuning" / "spaces"
    folder.mkdir(parents=True)
    monkeypatch.setenv("PDADMM_BENCH_SHARE", str(tmp_path))
    return (folder / "adam.toml").write_text


@pytest.mark.parametrize("spaces", ["", "many-labels"])
@pytest.mark.parametrize("optimizer", [*contenders(), "pdadmm-c", "pdadmm-m", "ddg", "fdg"])
def test_every_optimizer_has_a_space_that_it_understands(optimizer: str, spaces: str) -> None:
    trials = draw(optimizer, Search(trials=16, spaces=spaces))
    assert len(trials) == 16
    assert len({str(trial) for trial in trials}) == 16
    for trial in trials:
        registry.get(optimizer).create(trial, optimizer)


def test_trials_cover_a_logarithmic_range_evenly(space: Any) -> None:
    space("[lr]\nlow = 1e-4\nhigh = 1\nlog = true\n")
    trials = [trial["lr"] for trial in draw("adam", Search(trials=17))]
    assert all(1e-4 <= lr <= 1 for lr in trials)
    # The first is a draw; of the sequence behind it, each quarter of the range gets a quarter, or one more or less.
    quarters = [sum(10.0**low <= lr < 10.0 ** (low + 1) for lr in trials[1:]) for low in (-4, -3, -2, -1)]
    assert all(3 <= count <= 5 for count in quarters), quarters


def test_trials_depend_on_the_seed_and_on_nothing_else() -> None:
    assert draw("adam", Search(trials=5)) == draw("adam", Search(trials=9))[:5]
    assert draw("adam", Search(trials=5, seed=1)) != draw("adam", Search(trials=5))


def test_a_folder_of_spaces_stands_in_for_the_common_ones(space: Any, tmp_path: Path) -> None:
    space("[lr]\nvalue = 0.1\n")
    folder = tmp_path / "runners" / "tuning" / "spaces" / "wide"
    folder.mkdir()
    assert draw("adam", Search(trials=1, spaces="wide")) == [{"lr": 0.1}]
    (folder / "adam.toml").write_text("[lr]\nvalue = 0.5\n")
    assert draw("adam", Search(trials=1, spaces="wide")) == [{"lr": 0.5}]


def test_a_value_per_another_is_a_multiple_of_it(space: Any) -> None:
    space('[lr]\nlow = 0.1\nhigh = 0.2\n[weight_decay]\nper = "lr"\nvalue = 10\n[beta1]\nchoices = [0.5]\n')
    for trial in draw("adam", Search(trials=6)):
        assert trial["weight_decay"] == pytest.approx(10 * trial["lr"], rel=0.02)
        assert trial["beta1"] == 0.5


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lr = 3", "give a table"),
        ("[lr]\nlow = 1", "low and high"),
        ("[lr]\nlow = 2\nhigh = 1", "below high"),
        ("[lr]\nlow = -1\nhigh = 1\nlog = true", "below high"),
        ("[lr]\nvalue = 1\nchoices = [1]", "low and high, or choices, or value"),
        ('[lr]\nvalue = 1\nper = "rho"', "no table of its own"),
        ("[lr]\nmiddle = 1", "middle"),
    ],
)
def test_a_space_that_means_nothing_is_refused(space: Any, text: str, message: str) -> None:
    space(text)
    with pytest.raises(UserError, match=message):
        draw("adam", Search(trials=1))


def test_a_suite_has_each_trial_on_each_graph(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(
        'summary = "s"\n[[entry]]\noptimizer = ["adam", "pdadmm"]\ndataset = ["cora", "pubmed"]\npreset = "none"\n'
        "search = { trials = 3 }\n"
    )
    suite = read(path)
    assert len(suite.specs) == 2 * 2 * 3
    by_dataset = {name: [s.set for s in suite.specs.values() if s.data.dataset == name] for name in ("cora", "pubmed")}
    assert by_dataset["cora"] == by_dataset["pubmed"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("search = 3", "search is a table"),
        ("search = { trials = 0 }", "trials"),
        ("search = { tries = 3 }", "tries"),
        ('search = { trials = 2 }\noptimizer = "pdadmm-reference"', "no space of hyperparameters"),
    ],
)
def test_a_search_that_cannot_be_is_refused(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(f'summary = "s"\n[[entry]]\n{line}\n')
    with pytest.raises(UserError, match=message):
        read(path)


def test_the_shipped_search_gives_every_optimizer_the_same_budget() -> None:
    assert resources.find("runners/tuning/search.toml")
    specs = list(read(find("runners/tuning/search.toml")).specs.values())
    counts = {(s.optimizer, s.model.init, s.stages() != [], s.data.dataset): 0 for s in specs}
    for s in specs:
        counts[s.optimizer, s.model.init, s.stages() != [], s.data.dataset] += 1
    by_start: dict[Any, set[int]] = {}
    for (_, *start), count in counts.items():
        by_start.setdefault(tuple(start), set()).add(count)
    assert all(len(found) == 1 for found in by_start.values()), by_start
    assert "cs" not in {s.data.dataset for s in specs}, "it shows how the choice carries over"
