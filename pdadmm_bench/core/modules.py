"""Where the code of a package lies, without importing it."""

from __future__ import annotations

import importlib.util
from pathlib import Path


def origin(package: str) -> Path | None:
    """The file of a top package: its ``__init__.py``, or the module itself; None where there is no such file."""
    spec = importlib.util.find_spec(package)
    return Path(spec.origin).resolve() if spec and spec.has_location and spec.origin else None
