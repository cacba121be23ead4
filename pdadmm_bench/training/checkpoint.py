"""Checkpoints of a run under way: a run that was interrupted or killed goes on from the last one.

A run has a folder. Each checkpoint is a folder in it, named after its iteration, with the snapshot of every worker's
block. ``run.json`` names the valid checkpoint, the settings of the run and its steps so far. It is replaced only when
all snapshots are on the disk, so a run that is stopped at any moment keeps a valid checkpoint. Several machines need a
shared folder.

``run.json`` also has the SHA-256 of every snapshot, and of itself. Nothing of a checkpoint is used before all of these
are checked, so that a run never goes on from a file that has changed.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import pickle
import re
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout

from pdadmm_bench.core.errors import UserError
from pdadmm_bench.core.files import parse_json, write_atomic
from pdadmm_bench.core.rows import Row
from pdadmm_bench.core.spec import RunSpec
from pdadmm_bench.parallel.group import Group

SAME = (
    "dataset_sha256", "dist_mesh", "dist_partition", "dist_threads", "dist_device", "weights_initial_sha256",
    "optimizer_compiled", "env_torch", "env_cpu", "env_gpu",
)  # fmt: skip
"""Row values that must not change when a run goes on, like the settings and the code, so that its row is valid."""


Saved = tuple[dict[str, Any], Any]
"""What an earlier process saved of its run: its progress, and this worker's snapshot."""


@dataclass(frozen=True)
class Checkpoints:
    """Where runs keep their checkpoints.

    Args:
        folder: the folder of all runs; each run makes its own folder in it.
        every_s: seconds between two checkpoints of a run.
        code: gives the version of the code behind a run with an optimizer of this name.
    """

    folder: Path
    every_s: float
    code: Callable[[str], str]

    def of(self, spec: RunSpec, group: Group) -> Checkpoint:
        """The checkpoint of one run."""
        settings = json.dumps(spec.flat(), sort_keys=True)
        digest = hashlib.sha256(settings.encode()).hexdigest()[:8]
        name = re.sub(r"[^\w=,.-]+", "-", f"{spec.optimizer}-{spec.data.dataset}-seed{spec.seed}-{digest}")
        return Checkpoint(
            self.folder / name, self.every_s, group, {"spec": settings, "code": self.code(spec.optimizer)}
        )


class Checkpoint:
    """The checkpoint of one run; each of its workers makes one, and all call :meth:`load` and :meth:`save` together."""

    def __init__(self, folder: Path, every_s: float, group: Group, identity: Mapping[str, Any], of_stage: bool = False):
        self.folder, self.of_stage = folder, of_stage
        self._every_s, self._group, self._identity = every_s, group, dict(identity)
        self._next = time.monotonic() + every_s
        self._lock = FileLock(folder / "lock", timeout=0)

    def for_stage(self, spec: RunSpec, group: Group) -> Checkpoint:
        """The checkpoint of a warm-start stage, which ``group`` trains; the end of the stage is saved too."""
        identity = {**self._identity, "spec": json.dumps(spec.flat(), sort_keys=True)}
        folder = self.folder / f"warm-start-{spec.model.layers}"
        return Checkpoint(folder, self._every_s, group, identity, of_stage=True)

    @property
    def due(self) -> bool:
        """Whether it is time for the next one, by this worker's clock."""
        return time.monotonic() >= self._next

    def load(self, facts: Row) -> Saved | None:
        """The progress that was given to :meth:`save`, and this worker's snapshot; None for a new run.

        The folder is locked for this run until :meth:`release`. Raises :class:`UserError`, on every worker, if another
        process has locked it, if it cannot be written or read, if a file in it is not as it was saved, or if ``facts``,
        the row values known so far, show that it holds another run.
        """
        self._identity |= {name: facts.get(name) for name in SAME}
        found, problem = self._group.broadcast(self._attempt(self._read) if self._group.rank == 0 else None)
        snapshot = None
        if found:
            place = self.folder / str(found["iteration"]) / self._file
            snapshot, problem = self._attempt(lambda: self._snapshot(place, found["files"][self._file]))
        if problem := next(filter(None, self._group.gather(problem)), None):
            raise UserError(problem)
        return (found, snapshot) if found else None

    def save(self, progress: Mapping[str, Any], snapshot: Any) -> str | None:
        """Save the run after the iteration that ``progress`` names; return the reason if that failed, else None."""
        place = self.folder / str(progress["iteration"])
        written = self._group.gather((self._file, *self._attempt(lambda: self._write(place / self._file, snapshot))))
        problem = next((problem for _, _, problem in written if problem), None)
        if self._group.rank == 0:
            content = {"identity": self._identity, **progress, "files": {name: sha256 for name, sha256, _ in written}}
            text = json.dumps({**content, "sha256": _digest(content)})
            if not problem:
                _, problem = self._attempt(lambda: write_atomic(self._manifest, text))
            for old in self.folder.iterdir() if self.folder.is_dir() else ():
                if old.name.isdigit() and (old == place) == bool(problem):
                    shutil.rmtree(old, ignore_errors=True)
        self._next = time.monotonic() + self._every_s
        return problem

    def discard(self) -> None:
        """Remove the checkpoint of a run that has its result."""
        if self._group.rank == 0 and self._lock.is_locked:
            shutil.rmtree(self.folder, ignore_errors=True)

    def release(self) -> None:
        """Unlock the folder for the process that goes on with the run; remove it if it holds no checkpoint."""
        if self._lock.is_locked:
            Path(self._lock.lock_file).unlink(missing_ok=True)
            self._lock.release()
            with contextlib.suppress(OSError):
                self.folder.rmdir()

    @property
    def _manifest(self) -> Path:
        return self.folder / "run.json"

    @property
    def _file(self) -> str:
        return f"worker-{self._group.rank}.pt"

    def _read(self) -> dict[str, Any] | None:
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            self._lock.acquire()
        except Timeout:
            raise UserError(f"another process is at the run whose checkpoints are in {self.folder}") from None
        if not self._manifest.exists():
            return None
        found = self._checked(self._manifest.read_bytes())
        for name, value in found.pop("identity").items():
            if value != self._identity.get(name):
                raise UserError(
                    f"the checkpoint in {self.folder} is of another run: its {name} is {value!r} and would now be "
                    f"{self._identity.get(name)!r}; remove that folder to begin anew, or name another one"
                )
        return found

    def _checked(self, text: bytes) -> dict[str, Any]:
        """The content of ``run.json``, if it is as :meth:`save` wrote it for as many workers as there are."""
        try:
            found = parse_json(text)
        except ValueError as error:
            raise self.unusable(f"{self._manifest.name}: {error}") from None
        if not isinstance(found, dict) or "sha256" not in found:
            raise self.unusable(f"{self._manifest.name} is not what this version writes: it has no checksum")
        if found.pop("sha256") != _digest(found):
            raise self.unusable(f"{self._manifest.name} has changed since it was written: its checksum does not agree")
        iteration, files = found.get("iteration"), found.get("files")
        names = {f"worker-{rank}.pt" for rank in range(self._group.size)}
        if type(iteration) is not int or iteration < 0 or not isinstance(found.get("identity"), dict):
            raise self.unusable(f"{self._manifest.name} names no iteration of a run")
        if not isinstance(files, dict) or set(files) != names:
            raise self.unusable(f"{self._manifest.name} is not of {self._group.size} workers")
        return found

    def _snapshot(self, path: Path, sha256: str) -> Any:
        """The snapshot in ``path``, once its bytes have been found to be those that were written."""
        name = path.relative_to(self.folder)
        try:
            with path.open("rb") as file:
                if hashlib.file_digest(file, "sha256").hexdigest() != sha256:
                    raise self.unusable(f"{name} has changed since it was written: its checksum does not agree")
                file.seek(0)
                return torch.load(file, weights_only=True, map_location="cpu")
        except FileNotFoundError:
            raise self.unusable(f"{name} is missing") from None
        except (RuntimeError, pickle.UnpicklingError):  # torch's own words advise to load it without safety
            raise self.unusable(f"{name} does not hold the tensors of a run") from None

    def unusable(self, why: str) -> UserError:
        """The error for a checkpoint that this run cannot go on from."""
        return UserError(f"the checkpoint in {self.folder} cannot be used ({why}); remove {self.folder} to begin anew")

    def _write(self, path: Path, snapshot: Any) -> str:
        """Write the snapshot; return the SHA-256 of the file, read again from the file system."""
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb+") as file:
            torch.save(snapshot, file)
            file.flush()
            os.fsync(file.fileno())
            file.seek(0)
            return hashlib.file_digest(file, "sha256").hexdigest()

    def _attempt(self, action: Callable[[], Any]) -> tuple[Any, str | None]:
        """The result of ``action`` and the text of its error, if any: the workers raise the error together."""
        try:
            return action(), None
        except UserError as error:
            return None, str(error)
        except OSError as error:
            reason = error.strerror or type(error).__name__
        except Exception as error:  # torch reports a full disk as an error of its own
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
        return None, f"the checkpoint in {self.folder} cannot be read or written: {reason}"


def _digest(content: Mapping[str, Any]) -> str:
    """SHA-256 of the values in ``content``, which JSON writes and reads without loss."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
