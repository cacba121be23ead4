"""Result rows: what is in one, and the file of them."""

from __future__ import annotations

import json
import math
import os
import re
from pathlib import Path
from typing import Any

import pytest

from pdadmm_bench.core import rows
from pdadmm_bench.core.errors import UserError


def row(**values: object) -> rows.Row:
    names = {"dataset_name": "cora", "optimizer_name": "adam", "seed": 0, "model_layers": 2, "model_hidden": 8}
    return rows.make_row({"run_id": "1", "status": "ok", **names, **values})


def test_rows_are_complete_and_json() -> None:
    made = row(acc_test_final=math.nan, time_train_s=math.inf, optimizer_lr=0.1)
    assert list(made)[: len(rows.FIXED)] == list(rows.FIXED)
    assert (made["acc_test_final"], made["time_train_s"], made["optimizer_lr"]) == (None, None, 0.1)
    assert made["schema_version"] == rows.SCHEMA_VERSION
    with pytest.raises(ValueError, match="'accuracy' is not a row name"):
        row(accuracy=1)
    with pytest.raises(ValueError, match="status 'fine' is not one of"):
        row(status="fine")
    assert {name for name, status in rows.STATUSES.items() if status.failed} == {"diverged", "error", "oom"}


def test_the_exit_code_is_that_of_the_worst_row() -> None:
    assert rows.exit_code([]) == rows.exit_code([row(status="ok"), row(status="skipped")]) == 0
    assert rows.exit_code([row(status="error"), row(status="ok")]) == 1
    assert rows.exit_code([row(status="error"), row(status="interrupted"), row(status="ok")]) == 130
    with pytest.raises(UserError, match="unknown status 'timeuot': did you mean timeout"):
        rows.status_of({"status": "timeuot"})


def test_rows_survive_their_file(tmp_path: Path) -> None:
    path = tmp_path / "new" / "rows.json"
    written = [row(dataset_name="Ã"), row(status="error")]
    rows.write_rows(path, written)
    assert rows.read_rows(path) == written
    assert [item.name for item in path.parent.iterdir()] == ["rows.json"]
    assert path.stat().st_mode & 0o777 == 0o666 & ~_umask()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is not a rows file: it is empty"),
        ('[{"status": "ok",\n"seed"', "it breaks off in line 2, as if it was written in part only"),
        ('[{"status": "o', "it breaks off in line 1"),
        ("[{] 2", "is not a rows file: Expecting property name"),
        ("{}", "expected a JSON array"),
        ("[1]", "expected a JSON array"),
        ('[{"schema_version": 99}]', "rows of schema 99, this program reads schema 1"),
        ("\xff", "is not a rows file"),
    ],
)
def test_foreign_rows_are_refused(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "rows.json").write_text(text)
    with pytest.raises(UserError, match=message):
        rows.read_rows(tmp_path / "rows.json")
    with pytest.raises(UserError, match="no such rows file"):
        rows.read_rows(tmp_path / "none.json")


WRONG: list[tuple[str, Any, str]] = [
    ("acc_test_final", "high", "acc_test_final is 'high', and has to be a number"),
    ("time_train_s", True, "time_train_s is True, and has to be a number"),
    ("seed", 1 << 70, "and has to be a number"),
    ("dataset_name", 3, "dataset_name is 3, and has to be text"),
    ("optimizer_rho", [1], "optimizer_rho is [1], and has to be text, a number or a truth value"),
    ("spec", "[", "spec is '[', and has to be text in JSON"),
    ("spec", '{"layers": 2}', "and has to be text in JSON, of settings with dataset, optimizer, layers, hidden, gpus"),
    ("dist_per_worker", "{}", "and has to be text in JSON, of a list"),
    ("status", "fine", "status is 'fine', and has to be one of ok, "),
    ("run_id", None, "run_id is missing"),
]


@pytest.mark.parametrize(("name", "value", "said"), WRONG, ids=[name for name, *_ in WRONG])
def test_a_wrong_value_is_told_with_file_row_and_name(name: str, value: Any, said: str, tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    path.write_text(json.dumps([row(), {**row(), name: value}]))
    with pytest.raises(UserError, match=re.escape(said)) as raised:
        rows.read_rows(path)
    assert str(raised.value).startswith(f"{path} is not a rows file: row 2: {name} ")


@pytest.mark.parametrize(
    "text", ["[" * 100_000, '[{"schema_version": 1' + "0" * 5000 + "}]", "\xff", "[1]", "", "[NaN]"]
)
def test_no_text_is_more_than_a_user_error(text: str, tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(UserError, match="is not a rows file"):
        rows.read_rows(path)
