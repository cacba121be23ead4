"""Where tables are printed."""

from __future__ import annotations

import sys

from rich.console import Console


def stdout() -> Console:
    """Standard output; off a terminal rich would fold tables to the 80 columns of a screen that is not there."""
    return Console(width=None if sys.stdout.isatty() else 200)
