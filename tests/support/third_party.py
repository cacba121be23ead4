"""Packages of a third party: what an installed one looks like to the program."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path


def write_package(folder: Path, name: str, entry_points: Mapping[str, Mapping[str, str]]) -> None:
    """Write the metadata of a package that is installed in ``folder``; on the path of modules, its names are found.

    Args:
        name: of the package; no hyphens, since the name of the folder ends at the first one.
        entry_points: the targets (``module:attribute``) by name, by group.
    """
    information = folder / f"{name}-1.dist-info"
    information.mkdir(parents=True)
    (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n", encoding="utf-8")
    lines = []
    for group, targets in entry_points.items():
        lines += [f"[{group}]", *(f"{key} = {target}" for key, target in targets.items())]
    (information / "entry_points.txt").write_text("\n".join(lines), encoding="utf-8")
