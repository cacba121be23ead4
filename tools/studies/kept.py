"""What the studies of this folder keep: the file that their one argument names, with where each row was measured.

``tools/docs/studies.py`` makes the tables of the documentation from these files, which lie in ``reports/studies``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pdadmm_bench.core.env import environment
from pdadmm_bench.core.rows import write_rows

WHERE = ("env_commit", "env_dirty", "env_cpu", "env_cores", "env_torch")


def where() -> dict[str, Any]:
    """The machine and the commit."""
    facts = environment()
    return {name: facts[name] for name in WHERE}


def keep(path: str | Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write the rows, each with the machine and the commit."""
    here = where()
    write_rows(Path(path), [{**row, **here} for row in rows])
