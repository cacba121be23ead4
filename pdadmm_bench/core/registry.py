"""Names to things: a registry maps a name to ``module:attribute`` and imports it only when it is asked for.

Third-party packages add names through the entry-point groups ``pdadmm_bench.optimizers`` and
``pdadmm_bench.datasets``; a name taken twice is refused.
"""

from __future__ import annotations

import importlib
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
        self._targets: dict[str, str] = {}
        for name, target in builtin.items():
            self.add(name, target)
        self._discovered = False

    def add(self, name: str, target: str) -> None:
        """Register ``name``; raises :class:`UserError` when it already stands for something else."""
        if self._targets.get(name, target) != target:
            raise UserError(f"{self.kind} {name!r} is registered twice: {self._targets[name]} and {target}")
        self._targets[name] = target

    def names(self) -> list[str]:
        """Every registered name, in the order of registration: the project's own first."""
        self._discover()
        return list(self._targets)

    def check(self, name: str) -> None:
        """Raise :class:`UserError` with the nearest valid names for one that is unknown; imports nothing."""
        self._discover()
        if name not in self._targets:
            raise unknown(self.kind, name, self._targets)

    def get(self, name: str) -> Any:
        """The attribute ``name`` stands for; an unknown name raises with the nearest valid ones."""
        self.check(name)
        module, _, attribute = self._targets[name].partition(":")
        try:
            return getattr(importlib.import_module(module), attribute)
        except (ImportError, AttributeError) as error:
            raise UserError(f"{self.kind} {name!r} ({self._targets[name]}) cannot be loaded: {error}") from error

    def _discover(self) -> None:
        if not self._discovered:
            for point in entry_points(group=self.group):
                self.add(point.name, point.value)
            self._discovered = True
