"""A registry maps a name to ``module:attribute``, and imports the module only when the attribute is asked for.

Packages of third parties add names through the entry-point groups ``pdadmm_bench.optimizers`` and
``pdadmm_bench.datasets``. A name that is taken twice is refused.
"""

from __future__ import annotations

import importlib
import sys
from importlib.metadata import entry_points
from typing import Any

from pdadmm_bench.core.errors import UserError, unknown


class Registry:
    """A lazy mapping from names to attributes of modules.

    Args:
        kind: what the names stand for, used in errors (``"optimizer"``).
        group: the entry-point group third parties register in.
        builtin: the project's own names, each with its ``module:attribute``.
    """

    def __init__(self, kind: str, group: str, builtin: dict[str, str]):
        self.kind, self.group = kind, group
        self._builtin = dict(builtin)
        self._found: dict[str, str] = {}
        self._searched: tuple[str, ...] | None = None

    def names(self) -> list[str]:
        """All registered names: first those of the project, then those of third parties.

        Raises :class:`UserError` when a name stands for two things.
        """
        return list(self._targets())

    def check(self, name: str) -> None:
        """Raise :class:`UserError` with the nearest valid names when ``name`` is unknown; imports nothing."""
        targets = self._targets()
        if name not in targets:
            raise unknown(self.kind, name, targets)

    def get(self, name: str) -> Any:
        """The attribute that ``name`` stands for.

        Raises :class:`UserError` for an unknown name, with the nearest valid ones, and for a target that cannot be
        imported.
        """
        self.check(name)
        target = self._targets()[name]
        module, _, attribute = target.partition(":")
        try:
            return getattr(importlib.import_module(module), attribute)
        except (ImportError, AttributeError) as error:
            raise UserError(f"{self.kind} {name!r} ({target}) cannot be loaded: {error}") from error

    def _targets(self) -> dict[str, str]:
        """Every name with its target; entry points are searched again only after ``sys.path`` has changed."""
        path = tuple(sys.path)
        if path != self._searched:
            found = dict(self._builtin)
            for point in entry_points(group=self.group):
                if found.setdefault(point.name, point.value) != point.value:
                    raise UserError(
                        f"{self.kind} {point.name!r} is registered twice: {found[point.name]} and {point.value}"
                    )
            self._found, self._searched = found, path
        return self._found
