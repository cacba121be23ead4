"""Finds the folders of data that the program reads: ``datasets/``, ``runners/`` and ``reports/``.

In a checkout they lie beside the package. In an installed wheel they lie inside it, in ``pdadmm_bench/share/``. A
user's folder with the same layout (``--share DIR`` or ``PDADMM_BENCH_SHARE``) overlays them file by file.
"""

from __future__ import annotations

import os
from pathlib import Path

from pdadmm_bench.core.errors import UserError

FOLDERS = ("datasets", "runners", "reports")
VARIABLE = "PDADMM_BENCH_SHARE"


def roots() -> list[Path]:
    """The folders that are searched, in order: the user's overlay, then the folder that came with the program.

    Raises :class:`UserError` when either is missing.
    """
    package = Path(__file__).resolve().parents[1]
    own = next((root for root in (package / "share", package.parent) if (root / "datasets").is_dir()), None)
    if own is None:
        raise UserError(f"the data files of pdadmm-bench are missing beside {package}; reinstall the package")
    users = overlay()
    return [users, own] if users else [own]


def overlay() -> Path | None:
    """The user's folder, if there is one; raises :class:`UserError` where it is not a folder."""
    named = os.environ.get(VARIABLE)
    if named and not Path(named).is_dir():
        raise UserError(f"the overlay {named} (--share or {VARIABLE}) is not a folder")
    return Path(named) if named else None


def find(relative: str) -> Path | None:
    """The file at ``relative`` (``"datasets/cora.toml"``) in the first root that has it, or None."""
    return next((root / relative for root in roots() if (root / relative).is_file()), None)


def names(folder: str, suffix: str = ".toml") -> list[str]:
    """Sorted names of the files in ``folder`` over all roots, without their suffix."""
    return sorted({path.stem for root in roots() for path in (root / folder).glob(f"*{suffix}")})
