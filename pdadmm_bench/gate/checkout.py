"""The two sides of the gate as processes: this checkout, and the tree of a revision beside it."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from pdadmm_bench.core.errors import UserError
from pdadmm_bench.core.modules import origin

PROBE = Path(__file__).with_name("probe.py")
PACKAGE = "pdadmm_bench"


@dataclass(frozen=True)
class Checkout:
    """Code to run: ``roots`` come first on the path."""

    name: str
    roots: tuple[Path, ...] = ()
    modules: tuple[str, ...] = ()
    """Packages that have to come from ``roots``."""


HEAD = Checkout("this tree")


class CannotCompare(UserError):
    """A side could not be run: nothing is known about the head, good or bad."""


@contextlib.contextmanager
def revision(name: str, packages: Sequence[str], folder: Path) -> Iterator[Checkout]:
    """The files of ``name`` (a commit, branch or tag of the repository around ``folder``) in a temporary folder.

    Args:
        packages: top packages that the benchmarks need. Those that lie in the repository are taken from the revision,
            the others are those installed.
    """
    top = Path(_git(folder, "rev-parse", "--show-toplevel").strip())
    commit = _git(folder, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}").strip()
    places = {package: root for package in dict.fromkeys(packages) if (root := _root(package))}
    ours = {package: root.relative_to(top) for package, root in places.items() if root.is_relative_to(top)}
    if not ours:
        raise CannotCompare(
            f"--against {name}: none of {', '.join(places)} is run from the repository {top}; go to the repository of "
            "what changes, and install it with pip install -e"
        )
    with tempfile.TemporaryDirectory(prefix="pdadmm-bench-") as temporary:
        archive = _git(top, "archive", "--format=tar", commit, text=False)
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            tar.extractall(temporary, filter="data")
        for package, relative in ours.items():
            place = Path(temporary) / relative
            if not (place / package).is_dir() and not (place / f"{package}.py").is_file():
                raise CannotCompare(f"--against {name}: {commit[:10]} has no {relative / package}")
        roots = dict.fromkeys(Path(temporary) / relative for relative in ours.values())
        yield Checkout(f"{name} ({commit[:10]})", tuple(roots), tuple(ours))


def _root(package: str) -> Path | None:
    """The folder that a top package is imported from."""
    place = origin(package)
    if place is None:
        return None
    return place.parents[1] if place.name == "__init__.py" else place.parent


def _git(folder: Path, *arguments: str, text: bool = True) -> Any:
    try:
        answer = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, check=True)
    except FileNotFoundError:
        raise CannotCompare("--against needs git, which is not installed") from None
    except subprocess.CalledProcessError as error:
        said = error.stderr.decode(errors="replace").strip().splitlines()
        if arguments[0] == "rev-parse" and "--verify" in arguments:
            name = arguments[-1].removesuffix("^{commit}")
            hint = "; a shallow clone has few commits: git fetch --unshallow" if _shallow(folder) else ""
            raise CannotCompare(f"--against {name}: no such revision here{hint}") from None
        raise CannotCompare(f"git {arguments[0]} in {folder}: {said[-1] if said else 'failed'}") from None
    return answer.stdout.decode() if text else answer.stdout


def _shallow(folder: Path) -> bool:
    return _git(folder, "rev-parse", "--is-shallow-repository").strip() == "true"


class Probe:
    """One process of a side; as a context manager it ends it. It starts at once; :meth:`check_code` waits for it."""

    def __init__(self, checkout: Checkout):
        self._checkout = checkout
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  (closed with the process)
        path = [*map(str, checkout.roots), *filter(None, sys.path)]
        # The same hashes in every process, so that no two differ by the order of a set.
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path), "PYTHONHASHSEED": "0"}
        self._process = subprocess.Popen(
            [sys.executable, "-P", str(PROBE)], env=environment, text=True, encoding="utf-8",
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log,
        )  # fmt: skip
        self.ask("where", modules=list(checkout.modules))

    def ask(self, do: str, **request: Any) -> None:
        """Send a request; :meth:`answer` waits for what comes of it."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it ended; so says the answer
            self._process.stdin.write(json.dumps({"do": do, **request}) + "\n")
            self._process.stdin.flush()

    def answer(self, progress: Callable[[], None] = lambda: None) -> Any:
        """The result of the request; raises :class:`CannotCompare` for one that failed."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            said = json.loads(line)
            if "progress" in said:
                progress()
            elif "error" in said:
                raise CannotCompare(f"{self._checkout.name}: {said['error']}")
            else:
                return said["result"]
        raise CannotCompare(f"{self._checkout.name}: the benchmarks' process ended: {self._last_words()}")

    def call(self, do: str, **request: Any) -> Any:
        """Request and result."""
        self.ask(do, **request)
        return self.answer()

    def check_code(self) -> None:
        """Make sure that the code is the checkout's: comparing a tree with itself would always pass."""
        for module, file in self.answer().items():
            if not any(Path(file).resolve().is_relative_to(root.resolve()) for root in self._checkout.roots):
                raise CannotCompare(f"{self._checkout.name}: {module} came from {file} instead of the revision")

    def _last_words(self) -> str:
        code = self._process.wait(10)
        self._log.seek(0)
        lines = self._log.read().decode(errors="replace").strip().splitlines()
        killed = f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        return lines[-1] if lines else killed

    def __enter__(self) -> Probe:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        if kind is not None:
            self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
        self._log.close()
