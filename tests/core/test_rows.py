"""Result rows: what is in one, and the file of them."""

from __future__ import annotations

import math
import os
from pathlib import Path

import pytest

from pdadmm_bench.core import rows
from pdadmm_bench.core.errors import UserError


def row(**values: object) -> rows.Row:
    return rows.make_row({"run_id": "1", "status": "ok", **values})


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
