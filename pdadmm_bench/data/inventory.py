"""The content of the cache folder, by kind, and its removal.

The import is fast, because the help of ``clean`` names the kinds.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from pdadmm_bench.core.errors import UserError

#: The folders in the cache, and what is in each of them.
KINDS = {
    "raw": "files of graphs, downloaded",
    "features": "features and splits, computed from them",
    "digests": "checksums of large files",
    "trials": "last results of suites with save = false",
    "selftest": "records of the self-test",
    "tmp": "what killed processes left, older than a day",
}


def entries(cache: Path, kind: str) -> list[Path]:
    """The files and folders of one kind; of temporary ones only those that no process uses any more."""
    from pdadmm_bench.data.cache import left_behind

    folder = cache / kind
    if not folder.is_dir():
        return []
    return sorted(left_behind(cache) if kind == "tmp" else folder.iterdir())


def num_bytes(path: Path) -> int:
    """The size of a file, or of all files in a folder; links are not followed."""
    files = path.rglob("*") if path.is_dir() and not path.is_symlink() else (path,)
    return sum(file.lstat().st_size for file in files if not file.is_dir())


def remove(path: Path) -> None:
    """Remove a file or folder; raises :class:`UserError` where that is not possible."""
    try:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    except OSError as error:
        raise UserError(f"{error.filename or path} cannot be removed: {error.strerror}") from error
