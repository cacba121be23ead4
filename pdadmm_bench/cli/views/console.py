"""Where tables are printed."""

from __future__ import annotations

from rich.console import Console


def stdout() -> Console:
    """Standard output; off a terminal rich would fold tables to the 80 columns of a screen that is not there."""
    found = Console()
    return found if found.is_terminal else Console(width=200)
