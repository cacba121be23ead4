"""The table of accuracies in the README is the one that the committed rows give."""

import pytest

from pdadmm_bench.core.rows import first_values, make_row
from pdadmm_bench.core.spec import run_spec


def test_the_pages_have_the_numbers_of_the_rows(tool, capsys) -> None:
    headline = tool("headline")
    assert headline.main(check=True) == 0, capsys.readouterr().out


def test_a_number_that_left_its_rows_is_found(tool, tmp_path, monkeypatch) -> None:
    headline = tool("headline")
    page = tmp_path / "README.md"
    page.write_text(headline.PAGES[0].read_text())
    monkeypatch.setattr(headline, "PAGES", (page,))
    assert headline.main(check=True) == 0
    begin, table, end = page.read_text().partition(headline.END)
    page.write_text(begin.replace("7", "8") + table + end)
    assert headline.main(check=True) == 1
    assert headline.main(check=False) == 0
    assert headline.main(check=True) == 0


def test_the_committed_rows_are_what_the_protocol_asks_for(tool) -> None:
    rows = tool("headline").load()
    assert {row["env_protocol"] for row in rows} == {"1"}
    assert {row["model_hidden"] for row in rows} == {500}
    starts: dict = {}
    for row in rows:
        key = row["dataset_name"], row["dataset_split_seed"], row["model_layers"], row["model_init"], row["seed"]
        starts.setdefault(key, set()).add(row["weights_initial_sha256"])
    assert all(len(digests) == 1 for digests in starts.values()), "all optimizers of a seed start from the same weights"


def test_bold_is_only_what_the_paired_test_shows(tool) -> None:
    headline = tool("headline")

    def row(optimizer: str, seed: int, accuracy: float) -> dict:
        spec = run_spec({"dataset": "cora", "optimizer": optimizer, "seed": seed})
        facts = {"status": "ok", "dataset_name": "cora", "acc_test_at_best_val": accuracy, "acc_val_best": 0.8}
        return make_row({**first_values(spec), **facts})

    noise = [0.001 * (seed % 3) for seed in range(10)]
    clear = [row("pdadmm", s, 0.8 + e) for s, e in enumerate(noise)] + [
        row("adam", s, 0.7 - e) for s, e in enumerate(noise)
    ]
    assert headline.headline(clear).count("**") == 2
    alike = [row("pdadmm", s, 0.8 + e) for s, e in enumerate(noise)] + [
        row("adam", s, 0.8 + noise[-1 - s]) for s in range(10)
    ]
    assert headline.headline(alike).count("**") == 0


def test_a_page_without_the_marks_is_an_error(tool) -> None:
    with pytest.raises(ValueError, match="headline"):
        tool("headline").placed("no table here", "|")
