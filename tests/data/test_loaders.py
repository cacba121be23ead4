"""Files in the real raw formats, through the real loaders, to a problem."""

from __future__ import annotations

import builtins
import gc
import sys
import threading

import numpy as np
import pytest
import torch

from pdadmm_bench.core.errors import DataError, UserError
from pdadmm_bench.core.spec import DataSpec
from pdadmm_bench.data.load import load_problem

ALL = ["cora", "citeseer", "pubmed", "computers", "photo", "cs", "physics", "ogbn-arxiv", "ogbn-products", "flickr"]
NEW = [
    "dblp",
    "cora-full",
    "cora-ml",
    "wikics",
    "roman-empire",
    "amazon-ratings",
    "minesweeper",
    "tolokers",
    "questions",
]
ALL += NEW
SMALL = {"train_per_class": 2, "num_val": 7, "num_test": 5}


def reference(x: np.ndarray, edges: np.ndarray, hops: int) -> np.ndarray:
    """[x, Ãx, …, Ã^K x] by dense arithmetic in float64."""
    adjacency = np.eye(len(x))
    adjacency[edges[:, 0], edges[:, 1]] = adjacency[edges[:, 1], edges[:, 0]] = 1
    root = 1 / np.sqrt(adjacency.sum(1))
    operator = root[:, None] * adjacency * root
    blocks = [x.astype(np.float64)]
    for _ in range(hops):
        blocks.append(operator @ blocks[-1])
    return np.concatenate(blocks, axis=1)


@pytest.mark.parametrize("name", ALL)
def test_every_card_loads_its_raw_format(name, tiny, monkeypatch, capfd):
    made = tiny(name)
    monkeypatch.setattr(builtins, "input", lambda *_: pytest.fail("a loader asked a question"))
    lines: list[str] = []
    options = {"data_root": made.root, "offline": True, "report": lines.append}
    problem = load_problem(DataSpec(dataset=name, hops=2, feature_scale="none", **SMALL), **options)
    expected = reference(made.x, made.edges, 2)
    facts = problem.facts
    assert (facts["dataset_nodes"], facts["dataset_edges"]) == (len(made.x), 2 * len(made.edges))
    assert facts["dataset_source"] == "data-root"
    if made.parts is None:
        counts = [len(rows.y) for rows in problem.parts().values()]
        assert counts == [2 * problem.num_classes, 7, 5]
        whole = {tuple(row) for row in np.round(expected, 4).tolist()}
        for rows in problem.parts().values():
            assert {tuple(row) for row in np.round(rows.x.double().numpy(), 4).tolist()} <= whole
    else:
        for part, rows in problem.parts().items():
            assert rows.x.dtype == torch.float32
            np.testing.assert_allclose(rows.x, expected[made.parts[part]], rtol=1e-5, atol=1e-6)
            np.testing.assert_array_equal(rows.y, made.y[made.parts[part]])
    unknown = [line for line in lines if "no checksum is known" in line]
    assert bool(unknown) == (name in ("physics", "ogbn-arxiv", "ogbn-products", "flickr", *NEW))
    assert capfd.readouterr() == ("", "")
    assert not list(made.root.rglob("processed")), "the data root was written to"


def test_ogb_starts_no_thread_and_leaves_no_trace(tiny):
    for module in [module for module in sys.modules if module.partition(".")[0] in ("ogb", "outdated")]:
        del sys.modules[module]
    threads = threading.active_count()
    made = tiny("ogbn-arxiv")
    load_problem(DataSpec(dataset="ogbn-arxiv"), data_root=made.root, offline=True, report=lambda _: None)
    assert threading.active_count() == threads
    assert "outdated" not in sys.modules


def test_ogb_ignores_a_strangers_processed_files(tiny):
    made = tiny("ogbn-arxiv")
    for stranger in ("processed/geometric_data_processed.pt", "split/time/split_dict.pt"):
        path = made.root / "ogbn_arxiv" / stranger
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"not what OGB wrote")
    load_problem(DataSpec(dataset="ogbn-arxiv"), data_root=made.root, offline=True, report=lambda _: None)


@pytest.mark.parametrize(("key", "value"), [("nodes", 61), ("features", 8), ("classes", 4)])
def test_files_of_another_dataset_are_refused(tiny, key, value):
    made = tiny("flickr")
    made.card(**{rf"(?m)^{key} = \d+$": f"{key} = {value}"})
    with pytest.raises(DataError, match=f"another dataset's: .*{key} where its card says {value}"):
        load_problem(DataSpec(dataset="flickr"), data_root=made.root, offline=True, report=lambda _: None)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # numpy leaves such a file open
@pytest.mark.parametrize("name", ["physics", "flickr", "ogbn-arxiv"])
def test_truncated_file_without_a_known_checksum(tiny, name):
    made = tiny(name)
    path = max((made.root).rglob("*.*z"), key=lambda path: path.stat().st_size)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(DataError, match=path.name):
        load_problem(DataSpec(dataset=name), data_root=made.root, offline=True, report=lambda _: None)
    gc.collect()  # closes that file here, and not in a later test, which would fail


@pytest.mark.parametrize("name", ["physics", "flickr"])
def test_pickle_in_a_file_without_a_known_checksum(tiny, tmp_path, name):
    made = tiny(name)
    witness = tmp_path / "executed"
    array = np.empty(1, dtype=object)
    array[0] = Payload(witness)
    path = next(made.root.rglob("*.npy"), None) or next(made.root.rglob("*.npz"))
    with path.open("wb") as file:
        np.save(file, array, allow_pickle=True) if path.suffix == ".npy" else np.savez(file, attr_data=array)
    with pytest.raises(DataError, match="cannot be read") as raised:
        load_problem(DataSpec(dataset=name), data_root=made.root, offline=True, report=lambda _: None)
    assert not witness.exists()
    assert "allow_pickle" not in str(raised.value), "numpy's advice to switch its safeguard off"


class Payload:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return type(self.path).touch, (self.path,)


def test_public_split_is_refused_where_there_is_none(tiny):
    made = tiny("photo")
    with pytest.raises(UserError, match="no public split"):
        load_problem(DataSpec(dataset="photo", split="public"), data_root=made.root)


@pytest.mark.parametrize(
    ("name", "edges", "counts"),
    [
        ("cora", 10556, (140, 500, 1000)),
        ("citeseer", 9104, (120, 500, 1000)),
        ("pubmed", 88648, (60, 500, 1000)),
        ("photo", 238162, (160, 1000, 1000)),
        pytest.param("cs", 163788, (300, 1000, 1000), marks=pytest.mark.slow),
    ],
)
@pytest.mark.slow
def test_real_files(real_data, name, edges, counts):
    problem = load_problem(DataSpec(dataset=name), data_root=real_data, offline=True)
    assert problem.facts["dataset_edges"] == edges
    assert tuple(len(rows.y) for rows in problem.parts().values()) == counts
    assert problem.num_features == 5 * problem.facts["dataset_features"]
    again = load_problem(DataSpec(dataset=name), data_root=real_data, offline=True)
    assert again.facts["dataset_cache_hit"]
    assert again.sha256 == problem.sha256
    assert all(torch.equal(again.parts()[part].x, rows.x) for part, rows in problem.parts().items())
