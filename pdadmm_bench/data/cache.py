"""The cache folder, and what is in it: raw files, the digests of large ones, and folders for work in progress.

A file enters the cache whole and verified, or not at all.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from pdadmm_bench.core.errors import DataError, UserError
from pdadmm_bench.core.files import write_atomic
from pdadmm_bench.data.cards import UNKNOWN, RawFile

CACHE_VARIABLE = "PDADMM_BENCH_CACHE"
DATA_VARIABLE = "PDADMM_BENCH_DATA"
CHUNK = 1 << 20
"""Bytes that are copied at once."""
REMEMBERED_BYTES = 32 << 20
"""The digest of a file of this size or more is kept, so that the file is not read again only to be hashed."""
STALE_SECONDS = 24 * 3600
"""The age at which a temporary folder counts as left behind by a process that was killed."""


@dataclass(frozen=True, kw_only=True)
class Places:
    """Where raw files may be, and what may be done to get them."""

    data_root: Path | None
    """A folder of raw files that is only read, if the user named one."""
    cache: Path
    offline: bool
    """The network is not to be used."""
    report: Callable[[str], None]
    """Takes progress and warnings, one line at a time."""

    def candidates(self, file: RawFile) -> dict[str, Path]:
        """Where ``file`` would lie on this machine, by source, in the order of search."""
        roots = {"data-root": self.data_root, "cache": self.cache / "raw"}
        return {source: root / file.path for source, root in roots.items() if root is not None}

    def find(self, file: RawFile) -> tuple[str, Path] | None:
        """The first source that has ``file``, and the path there."""
        for source, path in self.candidates(file).items():
            try:
                if path.is_file():
                    return source, path
            except OSError as error:
                raise DataError(f"{path} cannot be read: {error.strerror}") from error
        return None


def cache_folder(given: Path | None = None) -> Path:
    """The cache: ``given``, else the folder in the variable, else the folder for caches of the platform."""
    if given is not None:
        return given
    if os.environ.get(CACHE_VARIABLE):
        return Path(os.environ[CACHE_VARIABLE])
    import platformdirs

    return Path(platformdirs.user_cache_dir("pdadmm-bench"))


@contextlib.contextmanager
def using_cache(given: Path | None) -> Iterator[None]:
    """In the block, ``given`` is the cache of this process, and of the processes that it starts, if it is not None."""
    before = os.environ.get(CACHE_VARIABLE)
    if given is not None:
        os.environ[CACHE_VARIABLE] = str(given.absolute())
    try:
        yield
    finally:
        if before is not None:
            os.environ[CACHE_VARIABLE] = before
        elif given is not None:
            del os.environ[CACHE_VARIABLE]


def data_root(given: Path | None = None) -> Path | None:
    """The folder of raw files: ``given``, else the one in the variable; None where there is neither.

    Raises :class:`DataError` where it is not a folder.
    """
    named = given or (Path(os.environ[DATA_VARIABLE]) if os.environ.get(DATA_VARIABLE) else None)
    if named is not None and not named.is_dir():
        raise DataError(f"the data root {named} ({'--data-root' if given else DATA_VARIABLE}) is not a folder")
    return named


@contextlib.contextmanager
def writing(cache: Path) -> Iterator[None]:
    """Turn a failed write below ``cache`` into a :class:`UserError` that says what to do."""
    try:
        yield
    except OSError as error:
        where = error.filename or cache
        raise UserError(
            f"the cache {cache} cannot be used ({where}: {error.strerror or error}): free some space, "
            f"or name another folder in {CACHE_VARIABLE}"
        ) from error


@contextlib.contextmanager
def scratch(cache: Path) -> Iterator[Path]:
    """A private folder inside the cache, which is removed afterwards.

    It is on the same file system as the cache, so moving a file from it into the cache is atomic. Folders that killed
    processes left behind are removed as well, after a day.
    """
    with writing(cache):
        (cache / "tmp").mkdir(parents=True, exist_ok=True)
        folder = tempfile.mkdtemp(dir=cache / "tmp")
    for stale in left_behind(cache):
        shutil.rmtree(stale, ignore_errors=True)
    try:
        yield Path(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def left_behind(cache: Path) -> Iterator[Path]:
    """The temporary folders that are older than a day: no process uses them any more."""
    for folder in (cache / "tmp").iterdir():
        with contextlib.suppress(OSError):  # another process may remove it at the same time
            if time.time() - folder.stat().st_mtime > STALE_SECONDS:
                yield folder


def store(stream: IO[bytes], file: RawFile, cache: Path, *, expected: str, origin: str) -> None:
    """Write ``stream`` into the cache as ``file``, atomically, if its digest is ``expected``.

    Where no digest is known, the digest of the received bytes is written beside the file, in the format of
    ``sha256sum``. So a later change of the file is noticed. Raises :class:`DataError` for a different digest;
    ``origin`` names the source in the message.
    """
    target = cache / "raw" / file.path
    with scratch(cache) as folder:
        with writing(cache):
            digest = copy_and_hash(stream, folder / file.name)
        if expected not in (UNKNOWN, digest):
            raise DataError(
                f"{file.path} from {origin} is not the known file: expected sha256 {expected}, found {digest}"
            )
        with writing(cache):
            target.parent.mkdir(parents=True, exist_ok=True)
            if expected == UNKNOWN:
                (folder / "sum").write_text(f"{digest}  {file.name}\n", encoding="utf-8")
                (folder / "sum").replace(_sum_path(target))
            (folder / file.name).replace(target)


def copy_and_hash(stream: IO[bytes], target: Path) -> str:
    """Copy ``stream`` to ``target``, flush it to the disk, and return the SHA-256 of what was written."""
    sha = hashlib.sha256()
    with target.open("wb") as file:
        while chunk := stream.read(CHUNK):
            sha.update(chunk)
            file.write(chunk)
        file.flush()
        os.fsync(file.fileno())
    return sha.hexdigest()


def recorded_digest(path: Path) -> str | None:
    """The digest that :func:`store` wrote beside a file whose card knows none; None where there is no such note."""
    try:
        words = _sum_path(path).read_text(encoding="utf-8").split()
    except OSError:
        return None
    return words[0] if words else None


def _sum_path(path: Path) -> Path:
    return path.with_name(path.name + ".sha256")


def digest_of(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def remembered_digest(path: Path, cache: Path) -> str:
    """The SHA-256 of a file; a large file is hashed again only after its size, time or inode has changed.

    So a hit of the feature cache does not read gigabytes. Only the key of that cache relies on the remembered digest:
    whatever is loaded is hashed while it is copied.
    """
    try:
        status = path.stat()
        if status.st_size < REMEMBERED_BYTES:
            return digest_of(path)
        note = cache / "digests" / hashlib.sha256(str(path.resolve()).encode()).hexdigest()
        stamp = [status.st_size, status.st_mtime_ns, status.st_ino]
        with contextlib.suppress(OSError, ValueError):
            *remembered, digest = json.loads(note.read_text(encoding="utf-8"))
            if remembered == stamp:
                return digest
        digest = digest_of(path)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error
    with contextlib.suppress(UserError):  # a cache that cannot be written is an error only where it has to be written
        write_atomic(note, json.dumps([*stamp, digest]))
    return digest
