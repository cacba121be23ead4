"""Atomic writes of files, and why a file that was written otherwise is not valid JSON."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pdadmm_bench.core.errors import UserError


def write_atomic(path: Path, content: str | bytes) -> None:
    """Replace ``path`` by ``content`` so that a reader, or a crash, sees the old content or the new, never a part.

    Text is written as UTF-8.

    Raises :class:`UserError` when the folder cannot be written or the disk is full; the old content then stays.
    """
    with _beside(path) as (handle, temporary):
        with os.fdopen(handle, "wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(_target(path))  # a link stays a link


def check_writable(path: Path) -> None:
    """Raise what :func:`write_atomic` would raise for ``path``, without changing the file there."""
    with _beside(path) as (handle, _):
        os.close(handle)


def check_folder(path: Path) -> None:
    """Raise :class:`UserError` where ``path`` neither is a folder nor can become one; nothing is made."""
    for place in (path, *path.absolute().parents):
        if place.exists():
            if not place.is_dir():
                raise UserError(f"{path} is not a folder" + ("" if place == path else f": {place} is a file"))
            return


@contextlib.contextmanager
def _beside(path: Path) -> Iterator[tuple[int, Path]]:
    """An open temporary file in the folder of ``path``, removed afterwards; error messages name ``path``."""
    if path.exists() and not path.is_file():
        # This also protects devices: renaming a file onto /dev/null would remove it for the whole machine.
        raise UserError(f"{path} cannot be written: it is not a regular file")
    target = _target(path)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
        try:
            yield handle, Path(name)
        finally:
            Path(name).unlink(missing_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise UserError(f"{path} cannot be written: {error.filename} is not a folder") from error
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror}") from error


def _target(path: Path) -> Path:
    """Where the links of ``path`` lead; raises :class:`UserError` where that is in a circle."""
    try:
        target = path.resolve()
    except RuntimeError:  # for a circle, before Python 3.13
        target = path
    if target.is_symlink():
        raise UserError(f"{path} cannot be written: its links lead in a circle")
    return target


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def parse_json(text: str | bytes) -> Any:
    """The value that ``text`` is the JSON of; raises ``ValueError`` with one clause about anything else.

    The parser's own errors differ by what is wrong: a number of too many digits, or too many brackets in each other.
    """
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(what_json_lacks(error)) from None
    except UnicodeDecodeError:
        raise ValueError("it is not text in UTF-8") from None
    except RecursionError:
        raise ValueError("its brackets are nested too deeply") from None
    except ValueError:
        raise ValueError("it has a number of too many digits") from None


def what_json_lacks(error: json.JSONDecodeError) -> str:
    """Why a text is not valid JSON; a text whose only fault is its end was written in part only, or cut."""
    if not error.doc.strip():
        return "it is empty"
    if not error.doc[error.pos :].strip() or error.msg.startswith("Unterminated string"):
        return f"it breaks off in line {error.doc.count(chr(10)) + 1}, as if it was written in part only"
    return str(error)
