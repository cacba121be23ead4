"""The parent run of one command, with a child for each training run; written outside the measured time."""

from __future__ import annotations

import contextlib
import sys
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from pdadmm_bench.core.errors import UserError
from pdadmm_bench.core.history import History
from pdadmm_bench.core.rows import Row
from pdadmm_bench.tracking import store
from pdadmm_bench.tracking.child import TrackedRun
from pdadmm_bench.tracking.described import ParentRun, code_tags, dump, now, parent_end
from pdadmm_bench.tracking.kept import tell
from pdadmm_bench.tracking.sender import Sender
from pdadmm_bench.tracking.unsent import UNSENT, Unsent
from pdadmm_bench.tracking.upload import Upload


def warn_on_stderr(message: str) -> None:
    """Print a warning."""
    print(f"warning: {message}", file=sys.stderr)


class Tracker:
    """The parent run of one command. Open it in the parent process, before any worker starts.

    As a context manager it ends the parent and every training run that is still open: as KILLED after Ctrl-C, as FAILED
    after another exception, else by the finished rows. A store that cannot be used causes a warning. Runs that it could
    not take are kept in the folder ``unsent``, sent again at the end, and otherwise left for ``pdadmm-bench sync``.

    Args:
        uri: the store as the user named it; None for the default.
        name: of the parent run.
        config: what was asked for, an artifact of the parent.
        environment: code, versions and machine, as ``env_*``.
        unsent: the folder for what MLflow could not take.
        files: where the rows of these runs are kept; the rows there get their ids in MLflow.
        known_as: the id of a parent that may be in the store already.
    """

    keep_rows = True
    """Whether rows and histories are kept while MLflow lacks them; a suite does that by itself."""

    def __init__(
        self, uri: str | None, experiment: str, name: str, config: Mapping[str, Any], environment: Mapping[str, Any],
        *, unsent: Path = Path(UNSENT), files: Sequence[Path] = (), warn: Callable[[str], None] = warn_on_stderr,
        known_as: str | None = None,
    ):  # fmt: skip
        used = store.uri_or_default(uri)
        self.unsent, self.files, self.warn = Unsent(unsent), list(files), warn
        self.parent = ParentRun(
            id=known_as or uuid.uuid4().hex,
            tried=known_as is not None,
            store=store.public(used),
            experiment=experiment,
            name=name,
            began=now(),
            tags=code_tags(environment),
            texts={"config.json": store.public(dump(dict(config))), "environment.json": dump(dict(environment))},
            files=self.unsent.relative(files),
        )
        self.upload = Upload(used, experiment)
        self.sender = Sender(self.upload, self.parent, self.unsent, str(self.kept_in), self.keep_rows, warn)
        self._environment, self._asked = dict(environment), uri
        self._children: list[TrackedRun] = []
        self._closed = False

    @classmethod
    def open(cls, *arguments: Any, **options: Any) -> Self:
        """A tracker whose store, experiment and parent run exist; the arguments are those of the class.

        No state of a store stops a run: a store that cannot be written causes a warning, and what it lacks is kept.
        Raises :class:`TrackingError` only for an address at which there can be no store.
        """
        tracker = cls(*arguments, **options)
        tracker._begin()
        return tracker

    def _begin(self) -> None:
        store.check_address(self.upload.uri)
        try:
            self.upload.open(self.parent)
        except Exception as error:
            with contextlib.suppress(UserError):  # reported by close
                self.unsent.keep_parent(self.parent)
            self.sender.failed("creating a run", error)
        except BaseException:
            if self.parent.run_id:
                with contextlib.suppress(Exception):
                    self.client.set_terminated(self.parent.run_id, "FAILED")
            raise

    @property
    def client(self) -> Any:
        """MLflow's own client of the store."""
        return self.upload.client

    @property
    def run_id(self) -> str | None:
        """The parent's id in MLflow; None while the server has not been reached."""
        return self.parent.run_id

    @property
    def experiment_id(self) -> str:
        """The id of the experiment."""
        return self.upload.experiment_id

    @property
    def kept_in(self) -> Path:
        """The folder with what MLflow lacks, as the user knows it."""
        return Path(str(self.unsent))

    def observer(self) -> TrackedRun:
        """The observer of one training run, which becomes a child run when it starts."""
        return self._add({}, self.files)

    def _add(self, tags: Mapping[str, str], files: Sequence[Path]) -> TrackedRun:
        child = TrackedRun(self.sender, self._environment, tags, files)
        self._children.append(child)
        return child

    def close(self, status: str | None = None) -> None:
        """End the parent and its open children with an MLflow ``status`` (default: by the finished rows)."""
        if self._closed:
            return
        self._closed = True
        self.sender.try_again()
        end = status or self._end()
        late = [child for child in self._children if child.run and not child.sent]
        for child in late:
            child.settle(end)
        self._tell([child for child in late if child.sent])
        left = self._send_what_is_left()
        self.parent.rows = [row for row, _ in self._runs()]
        self.parent.end, self.parent.ended = end, now()
        ended = self.sender.send_parent(self._finish)
        lost = sum(child.run is not None and not child.sent and self.sender.is_lost(child.run) for child in late)
        if lost:
            self.warn(f"{self.unsent} cannot be written: MLflow lacks {lost} runs, of which only the rows are kept")
        elif left:
            what, them = ("run is", "it") if left == 1 else ("runs are", "them")
            self.warn(f"{left} {what} not, or not wholly, in MLflow; {self.sync_command()} uploads {them}")
        elif not ended:
            self.warn(f"the summary of these runs is not in MLflow; {self.sync_command()} uploads it")
        elif self.sender.problem:
            self.warn("MLflow could be written again in the end, and has every run")
        self.unsent.tidy()

    def _send_what_is_left(self) -> int:
        """Send what is on disk only; returns the number of runs that MLflow still lacks."""
        return sum(child.run is not None and not child.sent for child in self._children)

    def _finish(self) -> None:
        """Send the parent's summary, and end it."""
        self.upload.finish_parent(self.parent, self._runs(), self.warn)

    def _runs(self) -> Sequence[tuple[Row, History]]:
        """The rows of the parent's summary, with the steps of those that are drawn in one picture."""
        return [(child.row, child.run.steps) for child in self._children if child.row and child.run]

    def _end(self) -> str:
        return parent_end(child.row for child in self._children if child.row is not None)

    def _tell(self, children: Sequence[TrackedRun]) -> None:
        """Write the ids of ``children`` into their rows on disk."""
        rows: dict[Path, list[Row]] = {}
        for child in children:
            for file in child.files if child.row else ():
                rows.setdefault(file, []).append(child.row or {})
        try:
            tell(rows)
        except UserError as error:
            self.warn(str(error))

    def sync_command(self) -> str:
        """The command that uploads what is left."""
        return store.command("sync", self._asked)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.close("KILLED" if issubclass(kind, KeyboardInterrupt) else "FAILED")
