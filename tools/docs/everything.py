"""Every table and picture that the README and the documentation have of the rows in ``reports/``.

    python tools/docs/everything.py            # writes them
    python tools/docs/everything.py --check    # fails where a page has other numbers than the rows

A program of this folder that has ``TABLES`` makes these, and one that has ``draw`` draws pictures. The pictures of the
command and of MLflow are another program's (``screenshots.py``).
"""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path

from marked import main

MAKES = re.compile(r"^(TABLES = |def draw\()", re.MULTILINE)


def programs() -> list[str]:
    """The names of the programs that make tables or draw pictures of rows."""
    return [path.stem for path in sorted(Path(__file__).parent.glob("*.py")) if MAKES.search(path.read_text("utf-8"))]


def make(name: str, words: list[str]) -> int:
    """Write what a program makes or, with ``--check``, check it; 1 if a page has other numbers than the rows."""
    program = importlib.import_module(name)
    return main(words, *getattr(program, "TABLES", ()), draw=getattr(program, "draw", None))


if __name__ == "__main__":
    sys.exit(max(make(name, sys.argv[1:]) for name in programs()))
