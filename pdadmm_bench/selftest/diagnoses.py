"""What ``doctor`` checks: Python, torch, devices, backends, the MLflow store, the cache and the datasets."""

from __future__ import annotations

import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pdadmm_bench.core.errors import DataError, UserError
from pdadmm_bench.tracking import store

if TYPE_CHECKING:
    from pdadmm_bench.data.cache import Places
    from pdadmm_bench.data.cards import Card

Mark = Literal["ok", "warn", "fail"]


@dataclass(frozen=True)
class Diagnosis:
    """What one check found."""

    subject: str
    mark: Mark
    """``fail``: something that the program needs is missing or damaged."""
    state: str
    remedy: str = ""
    """What to do about it."""


def diagnoses(data_root: Path | None, tracking_uri: str | None, cache: Path | None) -> Iterator[Diagnosis]:
    """Make every check in turn. None of them raises, and none creates a store."""
    yield from _machine()
    yield from _torch()
    yield from _selftests(cache)
    yield _tracking(tracking_uri)
    yield from _data(data_root, cache)


def _machine() -> Iterator[Diagnosis]:
    from pdadmm_bench.core.env import cores, environment

    new_enough = sys.version_info >= (3, 11)
    remedy = "" if new_enough else "install Python 3.11 or newer"
    yield Diagnosis("Python", "ok" if new_enough else "fail", platform.python_version(), remedy)
    memory = environment()["env_memory_bytes"]
    amount = f", {int(memory) / 2**30:.0f} GiB memory" if memory else ""
    yield Diagnosis("cores", "ok", f"{cores()} ({environment()['env_cpu']}){amount}")


def _torch() -> Iterator[Diagnosis]:
    try:
        import torch
    except (ImportError, OSError) as error:
        yield Diagnosis("torch", "fail", store.sentence(error), "pip install 'torch>=2.6,<3'")
        return
    build = f"CUDA {torch.version.cuda}" if torch.version.cuda else "CPU build"
    yield Diagnosis("torch", "ok", f"{torch.__version__} ({build})")
    yield _cuda(torch)
    yield _backends(torch)


def _cuda(torch: Any) -> Diagnosis:
    cuda = torch.cuda
    if cuda.is_available():
        names = [cuda.get_device_name(index) for index in range(cuda.device_count())]
        return Diagnosis("CUDA devices", "ok", f"{len(names)}: {', '.join(names)}")
    has_driver = Path("/proc/driver/nvidia/version").exists()
    remedy = "layer partitions run as CPU workers"
    if has_driver:
        remedy = "a driver is loaded: install the CUDA build of torch, check nvidia-smi and CUDA_VISIBLE_DEVICES"
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
    state = "none" if hidden is None else f"none (CUDA_VISIBLE_DEVICES={hidden!r})"
    return Diagnosis("CUDA devices", "warn", state, remedy)


def _backends(torch: Any) -> Diagnosis:
    distributed = torch.distributed
    if not distributed.is_available():
        return Diagnosis("backends", "warn", "torch.distributed is missing", "one worker only; install a build with it")
    available = {
        "gloo": distributed.is_gloo_available(),
        "nccl": distributed.is_nccl_available(),
        "mpi": distributed.is_mpi_available(),
    }
    state = ", ".join(f"{name} {'yes' if there else 'no'}" for name, there in available.items())
    if not available["gloo"]:
        return Diagnosis("backends", "warn", state, "several CPU workers need gloo: install torch from PyPI")
    if torch.cuda.is_available() and not available["nccl"]:
        return Diagnosis("backends", "warn", state, "several CUDA workers need nccl: install the CUDA build of torch")
    return Diagnosis("backends", "ok", state)


def _selftests(cache: Path | None) -> Iterator[Diagnosis]:
    """When the self-test passed last on this machine, for each kind of device that it has."""
    from pdadmm_bench.core.selftests import VERSION, record_file, verdict
    from pdadmm_bench.data.cache import cache_folder

    torch = sys.modules.get("torch")
    kinds = ["cuda", "cpu"] if torch is not None and torch.cuda.is_available() else ["cpu"]
    for kind in kinds:
        found, remedy = verdict(record_file(cache_folder(cache), kind)), f"pdadmm-bench selftest --device {kind}"
        subject = f"self-test {kind}"
        if found is None:
            yield Diagnosis(subject, "warn", f"version {VERSION} has not been made here", remedy)
        elif found["verdict"] != "ok":
            state = f"failed on {found['finished'][:10]}: {', '.join(found['failed'])}"
            yield Diagnosis(subject, "warn", state, remedy)
        else:
            state = (
                f"version {VERSION} passed on {found['finished'][:10]} ({found['ok']} checks, {found['skip']} skipped)"
            )
            yield Diagnosis(subject, "ok", state)


def _tracking(tracking_uri: str | None) -> Diagnosis:
    uri = store.uri_or_default(tracking_uri)
    try:
        return Diagnosis("MLflow store", "ok", f"{store.public(uri)}: {store.describe(uri)}")
    except UserError as error:
        state, _, remedy = str(error).partition("; ")
        return Diagnosis("MLflow store", "fail", state, remedy)


def _data(data_root: Path | None, cache: Path | None) -> Iterator[Diagnosis]:
    try:
        from pdadmm_bench.data.catalog import card_names, load_card
        from pdadmm_bench.data.load import places_for

        places = places_for(data_root, cache, offline=True, report=lambda line: None)
    except (UserError, ImportError, OSError) as error:
        yield Diagnosis("datasets", "fail", store.sentence(error), "name an existing folder, or leave it out")
        return
    yield _cache(places.cache)
    for name in card_names():
        try:
            yield _dataset(load_card(name), places)
        except UserError as error:
            yield Diagnosis(name, "fail", str(error), "mend its card, or take it out of the overlay")


def _cache(folder: Path) -> Diagnosis:
    """Whether the cache can be written; of a folder that does not exist yet, the nearest existing parent is tried."""
    existing = next(parent for parent in (folder.absolute(), *folder.absolute().parents) if parent.exists())
    try:
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as error:
        return Diagnosis("cache", "fail", f"{folder}: {error.strerror}", "name a writable folder in PDADMM_BENCH_CACHE")
    free = shutil.disk_usage(existing).free
    return Diagnosis("cache", "ok", f"{folder} ({free / 2**30:.1f} GiB free)")


def _dataset(card: Card, places: Places) -> Diagnosis:
    """Whether every raw file of the card is here and is the card's."""
    from pdadmm_bench.data.cards import UNKNOWN
    from pdadmm_bench.data.stage import known_digests

    if not card.files:
        return Diagnosis(card.name, "ok", "generated, needs no files")
    found = {file: place for file in card.files if (place := places.find(file)) is not None}
    if len(found) < len(card.files):
        state = f"{len(found)} of {len(card.files)} files found"
        return Diagnosis(card.name, "warn", state, f"pdadmm-bench prepare {card.name}, or --data-root with a copy")
    try:
        known_digests(card, places)
    except DataError as error:
        return Diagnosis(card.name, "fail", str(error), f"remove the file, then pdadmm-bench prepare {card.name}")
    where = "+".join(dict.fromkeys(source for source, _ in found.values()))
    unchecked = sum(file.sha256 == UNKNOWN for file in card.files)
    if unchecked:
        state = f"found ({where}); no checksum is known for {unchecked} of {len(card.files)} files"
        return Diagnosis(card.name, "warn", state, "the files are used as they are")
    return Diagnosis(card.name, "ok", f"found and verified ({where})")
