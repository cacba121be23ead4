"""The cache of features: what hits it, what misses it, and what happens when it is damaged."""

from __future__ import annotations

import io
import os
import random
import threading
from pathlib import Path

import pytest
import torch
from fresh_python import run_in_fresh_python

from pdadmm_bench.core.spec import DataSpec
from pdadmm_bench.data import load
from pdadmm_bench.data.cache import REMEMBERED_BYTES
from pdadmm_bench.data.load import load_problem
from pdadmm_bench.data.problem import Problem

SBM = DataSpec(dataset="sbm[nodes=200,features=8]", train_per_class=5, num_val=30, num_test=40, hops=1)


def same(left: Problem, right: Problem) -> bool:
    rows = zip(left.parts().values(), right.parts().values(), strict=True)
    equal = all(torch.equal(a.x, b.x) and torch.equal(a.y, b.y) for a, b in rows)
    return equal and left.sha256 == right.sha256


def cached() -> list[Path]:
    return sorted(Path(os.environ["PDADMM_BENCH_CACHE"]).glob("features/*.pt"))


def test_second_load_is_the_same_problem():
    first, second = load_problem(SBM), load_problem(SBM)
    assert same(first, second)
    assert first.facts["dataset_cache_hit"] is False
    assert second.facts == first.facts | {"dataset_cache_hit": True}
    assert (first.name, first.split, first.num_classes) == (second.name, second.split, second.num_classes)
    assert first.facts["dataset_sha256"] == first.sha256
    assert first.facts["dataset_source"] == "generated"


@pytest.mark.parametrize(
    "change",
    [
        {"hops": 2},
        {"normalize": True},
        {"split_seed": 1},
        {"train_per_class": 6},
        {"num_val": 31},
        {"num_test": 41},
        {"dataset": "sbm[nodes=200,features=8,seed=1]"},
    ],
)
def test_every_option_is_part_of_the_key(change):
    first = load_problem(SBM)
    other = load_problem(SBM.model_copy(update=change))
    assert not other.facts["dataset_cache_hit"]
    assert other.sha256 != first.sha256
    assert len(cached()) == 2


def test_code_version_is_part_of_the_key(monkeypatch):
    load_problem(SBM)
    monkeypatch.setattr(load, "FEATURES_VERSION", load.FEATURES_VERSION + 1)
    assert not load_problem(SBM).facts["dataset_cache_hit"]


def test_files_are_part_of_the_key(tiny):
    spec = DataSpec(dataset="physics", train_per_class=2, num_val=5, num_test=5, hops=1)
    made = tiny("physics")
    load_problem(spec, data_root=made.root, report=lambda _: None)
    assert load_problem(spec, data_root=made.root, report=lambda _: None).facts["dataset_cache_hit"]
    path = next(made.root.rglob("*.npz"))
    path.write_bytes(path.read_bytes().replace(b"\0\0PK", b"\0\0PK", 1) + b"\0")
    assert not load_problem(spec, data_root=made.root, report=lambda _: None).facts["dataset_cache_hit"]


def test_large_files_are_not_hashed_twice(tiny):
    """Seen by a change that leaves size and time as they were: it is noticed only by who reads the file."""
    spec = DataSpec(dataset="flickr", hops=1)
    made = tiny("flickr")
    path = next(made.root.rglob("feats.npy"))
    with path.open("r+b") as file:
        file.truncate(REMEMBERED_BYTES)  # NumPy does not look at what follows the array
    load_problem(spec, data_root=made.root, report=lambda _: None)
    before = path.stat()
    with path.open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"x")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert load_problem(spec, data_root=made.root).facts["dataset_cache_hit"]
    os.utime(path)
    assert not load_problem(spec, data_root=made.root, report=lambda _: None).facts["dataset_cache_hit"]


def flip(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


def pickled(data: bytes) -> bytes:
    """A file that torch refuses to load, with the advice to switch its safeguard off."""
    stream = io.BytesIO()
    torch.save({"rows": random.Random()}, stream)
    return stream.getvalue()


@pytest.mark.parametrize(
    "damage", [lambda data: data[:-100], lambda data: b"", lambda data: b"not a cache file", flip, pickled]
)
def test_damaged_cache_is_reported_and_rebuilt(damage):
    first = load_problem(SBM)
    (path,) = cached()
    path.write_bytes(damage(path.read_bytes()))
    lines: list[str] = []
    again = load_problem(SBM, report=lines.append)
    assert same(first, again)
    assert len(lines) == 1
    assert str(path) in lines[0]
    assert "damaged" in lines[0]
    assert "only if you trust" not in lines[0] and "weights_only" not in lines[0]
    assert load_problem(SBM).facts["dataset_cache_hit"]


def test_readable_cache_is_enough(tmp_path):
    """A hit writes nothing, so a cache on a read-only disk serves."""
    load_problem(SBM)
    before = {path: path.stat().st_mtime_ns for path in Path(os.environ["PDADMM_BENCH_CACHE"]).rglob("*")}
    load_problem(SBM)
    assert before == {path: path.stat().st_mtime_ns for path in before}


@pytest.mark.slow
def test_a_hit_needs_neither_raw_files_nor_graph_libraries(tiny):
    made = tiny("cora")
    load_problem(DataSpec(dataset="cora", hops=1), data_root=made.root)
    code = (
        "import sys; from pdadmm_bench.core.spec import DataSpec; from pdadmm_bench.data.load import load_problem\n"
        "assert load_problem(DataSpec(dataset='cora', hops=1), offline=True).facts['dataset_cache_hit']\n"
        "assert not {'torch_geometric', 'ogb', 'requests'} & set(sys.modules)"
    )
    run_in_fresh_python(code)


def test_concurrent_loads_agree():
    problems: list[Problem] = []
    threads = [threading.Thread(target=lambda: problems.append(load_problem(SBM))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(problems) == 4
    assert all(same(problems[0], problem) for problem in problems)
    assert len(cached()) == 1
