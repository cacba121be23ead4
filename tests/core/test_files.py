"""Files that are written whole or not at all."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from pdadmm_bench.core.errors import UserError
from pdadmm_bench.core.files import check_writable, write_atomic


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "file")
    write_atomic(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "file").read_text() == "new"


def test_a_failed_write_keeps_the_old_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    write_atomic(path, "old")

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match=r"file cannot be written: No space left on device"):
        write_atomic(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_checking_a_path_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "file"
    check_writable(path)
    assert list(tmp_path.iterdir()) == []
    path.write_text("old")
    check_writable(path)
    assert path.read_text() == "old"
    with pytest.raises(UserError, match="is not a folder"):
        check_writable(path / "file")


@pytest.mark.parametrize("name", ["circle", "circle/file"])
def test_a_link_to_itself_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "circle").symlink_to("circle")
    with pytest.raises(UserError, match=f"{name} cannot be written"):
        write_atomic(tmp_path / name, "")
    with pytest.raises(UserError, match=f"{name} cannot be written"):
        check_writable(tmp_path / name)
    assert (tmp_path / "circle").is_symlink()


@pytest.mark.parametrize("special", [os.devnull, "."])
def test_only_regular_files_are_replaced(special: str) -> None:
    with pytest.raises(UserError, match="it is not a regular file"):
        write_atomic(Path(special), "")
    assert not Path(os.devnull).is_file()
