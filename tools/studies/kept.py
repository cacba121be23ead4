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


def keep(path: str | Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write the rows, each with the machine and the commit."""
    facts = environment()
    where = {name: facts[name] for name in WHERE}
    write_rows(Path(path), [{**row, **where} for row in rows])
