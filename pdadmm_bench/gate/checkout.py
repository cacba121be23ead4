"""The code of the two sides of the gate: this tree, and that of a revision beside it."""

from __future__ import annotations

import contextlib
import io
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pdadmm_bench.core.errors import UserError
from pdadmm_bench.core.modules import origin


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
            the others are the installed ones.
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
