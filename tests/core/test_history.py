"""The steps of a run in a file beside its row."""

from __future__ import annotations

import gzip
import json
import math
from pathlib import Path

import pytest

from pdadmm_bench.core import history
from pdadmm_bench.core.errors import UserError
from pdadmm_bench.core.rows import read_rows, write_rows

STEPS = [
    {"iteration": 0, "train_seconds": 0.0, "acc_val": 0.1},
    {"iteration": 1, "train_seconds": 0.1 + 0.2, "objective": 1e-300},
]


def test_numbers_survive_to_the_last_bit(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.json.gz"
    history.write(path, "a", STEPS)
    assert history.read(path, "a") == STEPS
    assert isinstance(history.read(path, "a")[0]["iteration"], int)


def test_numbers_that_json_does_not_have_survive(tmp_path: Path) -> None:
    path = tmp_path / "a.json.gz"
    history.write(path, "a", [{"iteration": 1, "loss": math.inf, "loss_train": -math.inf, "objective": math.nan}])
    (step,) = history.read(path, "a")
    assert (step["loss"], step["loss_train"]) == (math.inf, -math.inf)
    assert math.isnan(step["objective"])
    text = gzip.decompress(path.read_bytes()).decode()
    assert json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))["run_id"] == "a"


def test_the_same_steps_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "other"):
        history.write(tmp_path / name, "a", STEPS)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "other").read_bytes()


def test_it_lies_beside_the_row(tmp_path: Path) -> None:
    rows, row = tmp_path / "rows.json", {"run_id": "a", "env_run_key": "k"}
    assert history.find(rows, row) is None
    beside_row = history.beside_row(tmp_path / "runs" / "k.json")
    assert beside_row == tmp_path / "runs" / "k.steps.json.gz"
    history.write(beside_row, "a", STEPS)
    assert history.find(rows, row) == beside_row
    beside_rows = history.beside_rows(rows, "a")
    assert beside_rows == tmp_path / "rows.steps" / "a.json.gz"
    history.write(beside_rows, "a", STEPS)
    assert history.find(rows, row) == beside_rows
    write_rows(rows, [])
    assert read_rows(rows) == []
    history.forget(rows)
    assert history.find(rows, row) == beside_row


def compressed(text: bytes) -> bytes:
    """The same bytes in every process that collects this test."""
    return gzip.compress(text, mtime=0)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "no such history: "),
        (b"", "is not the history of a run"),
        (b"plain text", "is not the history of a run"),
        (compressed(b"{}" * 500)[:-9], "is not the history of a run"),
        (compressed(b'{"steps": '), "is not the history of a run"),
        (compressed(b"[]"), "has no steps"),
        (compressed(b'{"steps": [], "schema_version": 7}'), "is a history of schema 7, this program reads schema 1"),
        (compressed(b'{"steps": [], "schema_version": 1, "run_id": "b"}'), "is the history of run b, not of a"),
        (compressed(b'{"steps": [{"x": "high"}], "schema_version": 1, "run_id": "a"}'), "that is no number"),
        (compressed(b'{"steps": [{"x": null}], "schema_version": 1, "run_id": "a"}'), "that is no number"),
        (compressed(b'{"steps": [3], "schema_version": 1, "run_id": "a"}'), "that is no number"),
    ],
    ids=[
        "missing", "empty", "text", "cut", "no JSON", "no object", "schema", "run", "text for a number", "null",
        "no step",
    ],
)  # fmt: skip
def test_a_bad_file_is_told_with_its_path(tmp_path: Path, content: bytes | None, words: str) -> None:
    path = tmp_path / "a.json.gz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError) as told:
        history.read(path, "a")
    assert str(path) in str(told.value) and words in str(told.value)


def test_a_full_disk_costs_a_warning(tmp_path: Path) -> None:
    (tmp_path / "rows.steps").touch()  # no folder can be made there
    warnings: list[str] = []
    history.keep(tmp_path / "rows.steps" / "a.json.gz", "a", STEPS, warnings.append)
    (warning,) = warnings
    assert "cannot be written" in warning and "its steps are not kept" in warning


def test_one_archive_has_the_histories_of_a_compressed_file_of_rows(tmp_path: Path) -> None:
    path = history.archive(tmp_path / "rows.json.gz")
    assert path == tmp_path / "rows.steps.json.gz"
    history.write_archive(path, {"b": STEPS, "a": STEPS[:1]})
    assert history.read_archive(path) == {"a": STEPS[:1], "b": STEPS}
    rows = tmp_path / "rows.json.gz"
    write_rows(rows, [])
    assert (read_rows(rows), rows.read_bytes()[:2]) == ([], b"\x1f\x8b")
    history.forget(rows)
    assert not path.exists()


DAMAGED = {
    "empty": b"",
    "no gzip": b"no gzip",
    "no runs": gzip.compress(b"[]"),
    "no schema": gzip.compress(b'{"runs": {}}'),
}


@pytest.mark.parametrize("damage", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_archive_is_named(tmp_path: Path, damage: bytes) -> None:
    path = tmp_path / "rows.steps.json.gz"
    path.write_bytes(damage)
    with pytest.raises(UserError, match=r"rows\.steps\.json\.gz is (not an archive of histories|a history of schema)"):
        history.read_archive(path)


@pytest.mark.parametrize("damage", [b"", b"no gzip", gzip.compress(b"{")], ids=["empty", "no gzip", "no JSON"])
def test_a_damaged_file_of_compressed_rows_is_named(tmp_path: Path, damage: bytes) -> None:
    rows = tmp_path / "rows.json.gz"
    rows.write_bytes(damage)
    with pytest.raises(UserError, match=r"rows\.json\.gz is not a rows file"):
        read_rows(rows)
