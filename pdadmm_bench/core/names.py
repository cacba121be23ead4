"""Names for readers: of settings, datasets, one run, and the runs of a command.

A generated graph is ``sbm[nodes=400,classes=4,…]`` in a row, and ``sbm`` to a reader.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pdadmm_bench.core.errors import UserError

if TYPE_CHECKING:
    from pdadmm_bench.core.spec import RunSpec

_WORDS = {"gpus": "workers"}
"""Settings that users call by another word than specs and rows, where the name stays as it was."""


def setting_word(name: str) -> str:
    """What users call the setting ``name``."""
    return _WORDS.get(name, name)


def setting_of(word: str) -> str:
    """The name, in specs and rows, of the setting that users call ``word``; both are understood."""
    return next((name for name, known in _WORDS.items() if known == word), word)


def by_setting(values: Mapping[str, Any], place: str = "") -> dict[str, Any]:
    """``values`` by the names that settings have in a spec: ``workers`` is ``gpus``.

    Raises :class:`UserError`, which begins with the ``place`` of the values, where both words are given.
    """
    found = {setting_of(word): value for word, value in values.items()}
    if len(found) < len(values):
        raise UserError(f"{place} workers and gpus are one setting: give one of them".lstrip())
    return found


def short_names(datasets: Iterable[str]) -> dict[str, str]:
    """The short name of each dataset. Several graphs of one generator keep the parameters in which they differ."""
    parsed = {name: _parse(name) for name in dict.fromkeys(datasets)}
    found = {}
    for name, (base, parameters) in parsed.items():
        others = [other for stem, other in parsed.values() if stem == base]
        differing = [
            f"{key}={value}" for key, value in parameters.items() if any(other.get(key) != value for other in others)
        ]
        found[name] = f"{base}[{','.join(differing)}]" if differing else base
    return found if len(set(found.values())) == len(found) else {name: name for name in found}


def short_name(dataset: str) -> str:
    """The name of a dataset that stands alone."""
    return _parse(dataset)[0]


def mesh_word(mesh: str | None) -> str:
    """What workers share besides layers, from a row's ``dist_mesh``: nothing (None), ``rows``, or the mesh of both."""
    if mesh is None:
        return ""
    return "rows" if mesh.startswith("layers=1,") else mesh


def run_name(spec: RunSpec, workers: int, mesh: str | None = None) -> str:
    """What tells a run from the others of a command: ``pdadmm cora 4×64 seed 0``.

    Args:
        mesh: where workers share rows, as the row has it (``dist_mesh``).
    """
    parts = [spec.optimizer, short_name(spec.data.dataset), f"{spec.model.layers}×{spec.model.hidden}"]
    parts += [f"{workers} workers"] if workers > 1 else []
    parts += [f"({mesh_word(mesh)})"] if mesh else []
    return " ".join([*parts, f"seed {spec.seed}"])


def command_name(specs: Sequence[RunSpec]) -> str:
    """The name of the runs of a command: ``cora 4×64 · 7 optimizers · 3 seeds``."""
    datasets = dict.fromkeys(short_name(spec.data.dataset) for spec in specs)
    shapes = dict.fromkeys(f"{spec.model.layers}×{spec.model.hidden}" for spec in specs)
    optimizers = dict.fromkeys(spec.optimizer for spec in specs)
    seeds = {(spec.seed, spec.data.split_seed) for spec in specs}
    workers = sorted({spec.gpus for spec in specs})
    parts = [f"{_one_or_count(datasets, 'datasets')} {_one_or_count(shapes, 'networks')}"]
    parts.append(_one_or_count(optimizers, "optimizers"))
    parts += [f"{', '.join(map(str, workers))} workers"] if workers != [1] else []
    return " · ".join([*parts, f"{len(seeds)} seed{'' if len(seeds) == 1 else 's'}"])


def _one_or_count(values: Collection[Any], noun: str) -> str:
    return str(next(iter(values))) if len(values) == 1 else f"{len(values)} {noun}"


def _parse(name: str) -> tuple[str, dict[str, str]]:
    """The generator and its parameters."""
    base, _, inside = name.partition("[")
    pairs = (part.partition("=") for part in inside.removesuffix("]").split(",") if part)
    return base, {key.strip(): value for key, _, value in pairs}
