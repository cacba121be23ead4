"""What a shell offers after an option, such as ``--dataset c<TAB>``: names, without importing torch.

``pdadmm-bench --install-completion`` sets the shell up.
"""

from __future__ import annotations

from collections.abc import Iterable


def datasets(incomplete: str) -> list[str]:
    """Datasets that have a card."""
    from pdadmm_bench.data.catalog import card_names

    return _beginning(card_names(), incomplete)


def optimizers(incomplete: str) -> list[str]:
    """Optimizers, and ``all``."""
    from pdadmm_bench.optim import registry

    return _beginning([*registry.names(), "all"], incomplete)


def suites(incomplete: str) -> list[str]:
    """Suites that are shipped or in the overlay."""
    from pdadmm_bench.core import resources

    return _beginning(resources.names("runners"), incomplete)


def sources(incomplete: str) -> list[str]:
    """What has rows: suites with results here, and files and folders."""
    from pathlib import Path

    folder, slash, begun = incomplete.rpartition("/")
    made = sorted(path.name for path in Path("results").glob("*/"))
    here = sorted(path.name for path in Path(folder + slash).glob("*"))
    return [*_beginning(made, incomplete), *(f"{folder}{slash}{name}" for name in _beginning(here, begun))]


def datasets_and_optimizers(incomplete: str) -> list[str]:
    """What ``info`` tells about."""
    return [*datasets(incomplete), *(name for name in optimizers(incomplete) if name != "all")]


def _beginning(names: Iterable[str], incomplete: str) -> list[str]:
    return [name for name in names if name.startswith(incomplete)]
