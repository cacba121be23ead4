"""The mesh of a run, and the rows of its workers."""

from __future__ import annotations

import pytest

from pdadmm_bench.core.errors import UserError
from pdadmm_bench.core.shard import Shard
from pdadmm_bench.core.spec import LATER, recorded_spec, run_spec


@pytest.mark.parametrize(
    ("mesh", "gpus", "axes"),
    [
        ("layers", 8, (8, 1)), ("rows", 8, (1, 8)), ("rows", 1, (1, 1)), ("layers=4,rows=2", 8, (4, 2)),
        ("rows=8", 8, (1, 8)), ("layers=8", 8, (8, 1)), ("auto", 1, (1, 1)), ("auto", 4, None),
    ],
)  # fmt: skip
def test_axes(mesh: str, gpus: int, axes: tuple[int, int] | None) -> None:
    assert run_spec({"layers": 10, "gpus": gpus, "mesh": mesh}).axes() == axes


def test_more_workers_than_layers_are_possible_over_rows() -> None:
    assert run_spec({"layers": 2, "gpus": 64, "mesh": "rows"}).axes() == (1, 64)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"gpus": 8, "mesh": "layers=4,rows=3"}, r"has 4 × 3 = 12 workers, and there are 8: give --workers 12"),
        ({"mesh": "rows=2"}, r"has 1 × 2 = 2 workers, and there are 1: give --workers 2"),
        ({"gpus": 8, "mesh": "layers=4,rows=2", "layers": 3}, r"the 4 workers along the layers .* got 3"),
        ({"gpus": 2, "mesh": "rows=0"}, r"mesh='rows=0' is not valid"),
        ({"gpus": 2, "mesh": "columns=2"}, r"mesh='columns=2' is not valid"),
    ],
)  # fmt: skip
def test_a_mesh_that_does_not_fit_is_refused(options: dict[str, object], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        run_spec({"layers": 10, **options})


def test_rows_recorded_before_the_mesh_are_over_layers() -> None:
    assert "mesh" in LATER
    assert run_spec(recorded_spec('{"gpus": 2, "layers": 3}')).axes() == (2, 1)


@pytest.mark.parametrize(("total", "size"), [(33, 4), (4, 4), (1, 1), (2, 3), (0, 2)])
def test_shards_are_all_rows_and_as_equal_as_they_can_be(total: int, size: int) -> None:
    shards = [Shard(index, size, total) for index in range(size)]
    assert [row for shard in shards for row in range(shard.start, shard.stop)] == list(range(total))
    assert max(map(len, shards)) - min(map(len, shards)) <= 1
    assert max(map(len, shards)) == shards[0].longest
