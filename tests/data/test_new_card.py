"""A card is written from files at hand, and the dataset can be run by its name; nothing in a file is executed."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch_geometric.data import Data
from typer.testing import CliRunner

from pdadmm_bench.cli.main import app
from pdadmm_bench.core import resources
from pdadmm_bench.core.errors import UserError
from pdadmm_bench.core.spec import DataSpec
from pdadmm_bench.core.typed import build
from pdadmm_bench.data.cards import Card
from pdadmm_bench.data.catalog import load_card
from pdadmm_bench.data.load import load_problem

New = Callable[..., str]


@pytest.fixture
def new(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> New:
    """``new("mine", "--from-file", …)`` is ``card new`` with an overlay of its own; it raises what a user would see."""
    share = tmp_path / "mine"
    share.mkdir()
    monkeypatch.setenv(resources.VARIABLE, str(share))
    runner = CliRunner()

    def call(*arguments: object) -> str:
        answer = runner.invoke(app, ["card", "new", *map(str, arguments)])
        if answer.exception and not isinstance(answer.exception, SystemExit):
            raise answer.exception
        return answer.output

    return call


def rows(name: str, **settings: Any) -> list[int]:
    spec = build(DataSpec, {"dataset": name, "hops": 1, **settings}, "setting")
    problem = load_problem(spec, offline=True, report=lambda _: None)
    return [len(part.y) for part in problem.parts().values()]


def graph() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(40) % 2
    return {"x": torch.randn(40, 3, generator=generator), "y": y, "edge_index": torch.tensor([[0, 1, 2], [1, 2, 3]])}


def test_a_class_of_pyg_becomes_the_card_that_is_shipped(tiny, new: New, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = os.environ[resources.VARIABLE]
    monkeypatch.setenv(resources.VARIABLE, str(Path(mine).with_name("share")))  # where tiny has its cards
    made = tiny("wikics")
    shipped = load_card("wikics")
    monkeypatch.setenv(resources.VARIABLE, mine)
    out = new("wiki", "--pyg", "WikiCS", "--argument", "is_undirected=true", "--data-root", made.root)
    assert "60 nodes, 240 edges, 7 features, 3 classes; split given" in out
    card = load_card("wiki")
    assert (card.loader, card.sizes, card.split) == (shipped.loader, shipped.sizes, shipped.split)
    assert [file.path for file in card.files] == ["WikiCS/raw/data.json"]
    assert card.files[0].sha256 != "unknown"
    monkeypatch.setenv("PDADMM_BENCH_DATA", str(made.root))
    assert rows("wiki", split_index=19) == [20, 10, 20]
    with pytest.raises(UserError, match="exists already"):
        new("wiki", "--pyg", "WikiCS", "--data-root", made.root)


def test_a_dataset_of_ogb(tiny, new: New, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = os.environ[resources.VARIABLE]
    monkeypatch.setenv(resources.VARIABLE, str(Path(mine).with_name("share")))
    made = tiny("ogbn-arxiv")
    monkeypatch.setenv(resources.VARIABLE, mine)
    new("papers", "--ogb", "ogbn-arxiv", "--data-root", made.root)
    assert (load_card("papers").split.kind, load_card("papers").split.train) == ("public", 25)
    monkeypatch.setenv("PDADMM_BENCH_DATA", str(made.root))
    assert rows("papers") == [25, 10, 15]


@pytest.mark.parametrize("kind", ["data.pt", "mapping.pt", "arrays.npz"])
def test_a_graph_in_a_file(kind: str, new: New, tmp_path: Path) -> None:
    """Nodes without a label are in no part of the split; the file itself is needed no more."""
    path, content = tmp_path / kind, graph()
    content["y"][:4] = -1
    if kind == "data.pt":
        torch.save(Data(**content), path)
    elif kind == "mapping.pt":
        torch.save(content, path)
    else:
        masks = {f"{part}_masks": np.zeros((2, 40), bool) for part in ("train", "val", "test")}
        for place, mask in enumerate(masks.values()):
            mask[:, 10 * place + 4 : 10 * place + 12] = True
        arrays = {name: value.numpy() for name, value in content.items()}
        np.savez(path, features=arrays["x"], labels=arrays["y"], edges=arrays["edge_index"].T, **masks)
    assert "40 nodes, 6 edges, 3 features, 2 classes" in new("mine", "--from-file", path)
    path.unlink()
    assert rows("mine") == ([8, 8, 8] if kind == "arrays.npz" else [21, 7, 8])


class Bomb:
    def __reduce__(self) -> Any:
        return (Path("exploded").touch, ())


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # numpy leaves such a file open
def test_no_code_of_a_file_is_run(new: New, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({**graph(), "x": Bomb()}, "bomb.pt")
    np.savez("bomb.npz", x=np.array([Bomb()], dtype=object), y=[1], edge_index=[[0], [0]])
    Path("plain.pt").write_bytes(pickle.dumps(Bomb()))
    for name in ("bomb.pt", "bomb.npz", "plain.pt"):
        with pytest.raises(UserError, match="cannot be read") as raised:
            new("bomb", "--from-file", name)
        advice = ("safe_globals", "weights_only", "allow_pickle")  # words of torch and numpy
        assert not any(word in str(raised.value) for word in advice)
    assert not Path("exploded").exists()


def test_what_is_no_graph_is_refused(new: New, tmp_path: Path) -> None:
    torch.save({"x": torch.zeros(2, 2)}, tmp_path / "part.pt")
    torch.save(graph() | {"y": torch.rand(40)}, tmp_path / "targets.pt")
    (tmp_path / "graph.csv").touch()
    refusals = {
        "give one of --pyg CLASS": ["x"],
        "unknown class of torch_geometric.datasets 'Wikics': did you mean WikiCS": ["x", "--pyg", "Wikics"],
        "CitationFull cannot be made with no arguments": ["x", "--pyg", "CitationFull"],
        "has no WikiCS/raw/data.json": ["x", "--pyg", "WikiCS"],
        "has no files; unpack": ["x", "--ogb", "ogbn-arxiv"],
        "there is no such file": ["x", "--from-file", tmp_path / "none.pt"],
        "ends in .npz or .pt": ["x", "--from-file", tmp_path / "graph.csv"],
        "part.pt has no y and no edge_index": ["x", "--from-file", tmp_path / "part.pt"],
        "not a class per node": ["x", "--from-file", tmp_path / "targets.pt"],
    }
    for message, arguments in refusals.items():
        with pytest.raises(UserError, match=message):
            new(*arguments, "--data-root", tmp_path)


def test_a_class_that_may_unpickle_needs_a_checksum() -> None:
    values = {
        "name": "x", "summary": "", "version": "", "licence": "", "citation": "", "source": "",
        "split": {"kind": "fraction"}, "sizes": {"nodes": 9, "edges": 2, "features": 2, "classes": 2},
        "files": [{"path": "Airports/raw/x.txt", "sha256": "unknown"}],
    }  # fmt: skip
    with pytest.raises(UserError, match="every one needs its sha256"):
        build(Card, {**values, "loader": {"kind": "pyg", "class": "Airports"}}, "card")
    with pytest.raises(UserError, match=r"has a class of torch_geometric\.datasets"):
        build(Card, {**values, "loader": {"kind": "pyg"}}, "card")
