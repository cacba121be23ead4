"""From the name of a dataset to its card.

A card is found in one of three ways: as a TOML file in ``datasets/``, through an entry point of a third party in the
group ``pdadmm_bench.datasets``, or as the twin ``NAME-sbm`` of either, which is a generated graph of the same sizes.
``sbm[nodes=2000,classes=5]`` sets the parameters of a generated graph. This module does not import torch, so that
``list`` and ``info`` stay quick.
"""

from __future__ import annotations

from pathlib import Path

from pdadmm_bench.core import resources
from pdadmm_bench.core.errors import UserError, unknown
from pdadmm_bench.core.protocol import is_custom
from pdadmm_bench.core.registry import Registry
from pdadmm_bench.core.typed import build, read_toml
from pdadmm_bench.data.cards import GENERATED, Card, DepthParameters, Loader, SbmParameters, Sizes, Split

TWIN = "-sbm"
"""The ending of the name of a generated twin."""

SBM_CITATION = "Deshpande, Sen, Montanari, Mossel: Contextual Stochastic Block Models. NeurIPS 2018."

registry = Registry("dataset", "pdadmm_bench.datasets", {})


def card_names() -> list[str]:
    """Names of all cards, those of the project and those of third parties, without the twins; sorted."""
    return sorted({*resources.names("datasets"), *registry.names()})


def load_card(name: str) -> Card:
    """The card of ``name``: ``pubmed``, ``pubmed-sbm`` or ``sbm[nodes=2000,classes=5]``.

    Raises :class:`UserError` for an unknown name (with the nearest ones), an unknown parameter or a faulty card.
    """
    base, parameters = _parse(name)
    card = _plain(base)
    if not parameters:
        return card
    if not card.generated:
        raise UserError(f"dataset {base!r} takes no parameters; its generated twin does: {base}{TWIN}[...]")
    values = card.loader.parameters.model_dump() | parameters
    arguments = ",".join(f"{key}={parameters[key]}" for key in sorted(parameters))
    kind = GENERATED[card.loader.kind]
    return _generated(card, f"{base}[{arguments}]", build(kind, values, f"parameter of {base}"))


def _parse(name: str) -> tuple[str, dict[str, str]]:
    base, bracket, rest = name.strip().partition("[")
    if not bracket:
        return base, {}
    items = [item.strip() for item in rest.removesuffix("]").split(",") if item.strip()]
    pairs = [item.partition("=") for item in items]
    if not rest.endswith("]") or any(not (key.strip() and equals and value.strip()) for key, equals, value in pairs):
        raise UserError(f"dataset {name!r} is not of the form name[key=value,key=value]")
    return base.strip(), {key.strip(): value.strip() for key, _, value in pairs}


def _plain(name: str) -> Card:
    names = card_names()
    if name in names:
        return _named(name)
    if name.endswith(TWIN) and name.removesuffix(TWIN) in names:
        return _twin(_named(name.removesuffix(TWIN)))
    if is_custom(name):
        raise UserError(f"{name!r} has no card: its rows were made in a program, and only that program has them")
    # The twins would double the list, so they are offered only to a user who asked for a twin.
    raise unknown("dataset", name, _twins(names) if name.endswith(TWIN) else names)


def _twins(names: list[str]) -> list[str]:
    return [name + TWIN for name in names if not _named(name).generated]


def _named(name: str) -> Card:
    path = resources.find(f"datasets/{name}.toml")
    if path is not None and name in registry.names():
        raise UserError(f"dataset {name!r} is both the card {path} and a third party's entry point; rename one")
    target = path or registry.get(name)
    if callable(target):
        target = target()
    if isinstance(target, Card):
        return target
    return build(Card, {"name": name} | read_toml(Path(target)), f"card {target}:")


def _twin(card: Card) -> Card:
    if card.generated:
        raise UserError(
            f"dataset {card.name!r} is generated already; set its parameters instead: {card.name}[nodes=...]"
        )
    sizes = card.sizes
    values = {
        "nodes": sizes.nodes,
        "classes": sizes.classes,
        "features": sizes.features,
        "degree": sizes.edges / sizes.nodes,
    }
    return _generated(card, card.name + TWIN, build(SbmParameters, values, f"size of {card.name}"))


def _generated(card: Card, name: str, parameters: SbmParameters | DepthParameters) -> Card:
    """A card for a graph drawn with ``parameters``, with the split of ``card``."""
    itself = card.generated
    edges = 2 * round(parameters.nodes * parameters.degree / 2)
    sizes = {"nodes": parameters.nodes, "edges": edges, "features": parameters.features, "classes": parameters.classes}
    counted = card.split.train is not None
    split = Split(kind="random") if counted and parameters.nodes != card.sizes.nodes else card.split
    return Card(
        name=name,
        summary=card.summary if itself else f"generated graph with the sizes of {card.name}",
        version="1",
        licence="none needed: generated",
        citation=card.citation if itself else SBM_CITATION,
        source="pdadmm_bench.data.synthetic",
        loader=Loader(kind=card.loader.kind if itself else "sbm", parameters=parameters),
        sizes=build(Sizes, sizes, f"size of {name}"),
        split=split,
    )
