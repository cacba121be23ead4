"""What holds for every card that is shipped."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from pdadmm_bench.core import resources
from pdadmm_bench.data.catalog import card_names, load_card
from pdadmm_bench.data.graphs import LOADERS
from pdadmm_bench.data.pyg_dataset import raw_files

REQUIRED = {
    "cora", "citeseer", "pubmed", "computers", "photo", "cs", "physics", "ogbn-arxiv", "ogbn-products", "flickr",
    "roman-empire", "amazon-ratings", "minesweeper", "tolokers", "questions", "dblp", "cora-full", "cora-ml", "wikics",
    "sbm", "depth",
}  # fmt: skip


def test_every_required_dataset_has_a_card():
    assert set(card_names()) == REQUIRED


@pytest.mark.parametrize("name", sorted(REQUIRED))
def test_card(name):
    card = load_card(name)
    assert card.name == name
    assert card.loader.kind in LOADERS
    assert card.licence
    assert card.citation
    assert card.source
    assert len({file.path for file in card.files}) == len(card.files)
    if card.generated:
        assert not card.files
        parameters = card.loader.parameters
        assert (card.sizes.nodes, card.sizes.features) == (parameters.nodes, parameters.features)
        assert (card.sizes.classes, card.sizes.edges) == (parameters.classes, parameters.nodes * parameters.degree)
        return
    assert card.files
    assert all(card.archive or card.url(file) for file in card.files)
    twin = load_card(f"{name}-sbm")
    assert twin.sizes.nodes == card.sizes.nodes
    assert twin.split == card.split
    assert abs(twin.sizes.edges - card.sizes.edges) <= 1


@pytest.mark.parametrize("name", sorted(REQUIRED - {"sbm", "depth"}))
def test_files_are_those_the_loader_reads(name):
    """PyG and OGB would download what they miss; a card that lists every file leaves them nothing to miss."""
    import torch_geometric.datasets as pyg

    card = load_card(name)
    paths = {file.path for file in card.files}
    if card.loader.kind == "ogb":
        folder = card.loader.name.replace("-", "_")
        assert {f"{folder}/RELEASE_v1.txt", f"{folder}/raw/edge.csv.gz", f"{folder}/raw/node-feat.csv.gz"} <= paths
        return
    if card.loader.kind == "pyg":
        assert paths == {path.as_posix() for path in raw_files(card.loader, Path("/nowhere"))}
        return
    kinds = {"heterophilous": "HeterophilousGraphDataset"}
    loader = getattr(pyg, kinds.get(card.loader.kind, card.loader.kind.capitalize()))
    dataset = loader.__new__(loader)
    dataset.root = "Flickr" if name == "flickr" else ""
    dataset.name = card.loader.name.lower() if card.loader.kind == "amazon" else card.loader.name
    if card.loader.kind == "heterophilous":
        dataset.name = card.loader.name.lower().replace("-", "_")
    dataset.split = "public"
    names = dataset.raw_file_names if isinstance(dataset.raw_file_names, list) else [dataset.raw_file_names]
    assert paths == {f"{dataset.raw_dir}/{file}" for file in names}


@pytest.mark.parametrize("name", ["cora", "citeseer", "pubmed", "photo", "cs"])
def test_checksums_are_those_of_the_real_files(name, real_data):
    sums = dict(reversed(line.split()) for line in (real_data / "SHA256SUMS").read_text().splitlines())
    assert all(sums[file.path] == file.sha256 for file in load_card(name).files)


def test_no_dataset_is_named_in_the_code():
    """The card is the only place that names a dataset."""
    package = resources.roots()[-1] / "pdadmm_bench" / "data"
    if not package.is_dir():
        pytest.skip("needs a checkout")
    names = {
        tomllib.loads(path.read_text())["loader"].get("name") for path in (package.parents[1] / "datasets").iterdir()
    }
    for path in package.glob("*.py"):
        code = path.read_text()
        assert not [name for name in names if name and f'"{name}"' in code], path
