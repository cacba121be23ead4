"""The partitioner is exact, deterministic, and says what would be right."""

from __future__ import annotations

from itertools import combinations, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdadmm_bench.core.errors import UserError
from pdadmm_bench.parallel.partition import partition


def sizes(text: str, costs: list[float], workers: int) -> list[int]:
    return [len(block) for block in partition(text, costs, workers)]


def all_sizes(layers: int, workers: int) -> list[list[int]]:
    cuts = combinations(range(1, layers), workers - 1)
    return [[b - a for a, b in pairwise((0, *cut, layers))] for cut in cuts]


def worst(costs: list[float], blocks: list[int]) -> float:
    starts = [sum(blocks[:i]) for i in range(len(blocks))]
    return max(sum(costs[start : start + size]) for start, size in zip(starts, blocks, strict=True))


@st.composite
def problems(draw: st.DrawFn) -> tuple[list[float], int]:
    costs = draw(st.lists(st.integers(0, 20) | st.floats(0, 1e12), min_size=1, max_size=8))
    return costs, draw(st.integers(1, len(costs)))


@given(problems())
def test_auto_is_as_good_as_the_best_of_all_partitions(problem: tuple[list[float], int]) -> None:
    costs, workers = problem
    best = min(worst(costs, blocks) for blocks in all_sizes(len(costs), workers))
    assert worst(costs, sizes("auto", costs, workers)) <= best + 2e-9 * sum(costs)


@given(problems())
def test_auto_is_the_evenest_of_the_best(problem: tuple[list[float], int]) -> None:
    costs = [round(cost) for cost in problem[0]]  # whole numbers, so that equal sums are equal
    candidates = all_sizes(len(costs), problem[1])
    best = min(worst(costs, blocks) for blocks in candidates)
    tied = [blocks for blocks in candidates if worst(costs, blocks) <= best * (1 + 1e-12)]
    spread = sum(size**2 for size in sizes("auto", costs, problem[1]))
    assert spread <= min(sum(size**2 for size in blocks) for blocks in tied)


@given(problems(), st.sampled_from(["auto", "even"]))
def test_blocks_are_contiguous_cover_and_hold_a_layer(problem: tuple[list[float], int], text: str) -> None:
    costs, workers = problem
    blocks = partition(text, costs, workers)
    assert [index for block in blocks for index in block] == list(range(len(costs)))
    assert len(blocks) == workers
    assert all(block.total == len(costs) for block in blocks)
    assert blocks == partition(text, costs, workers)


def test_equal_layers_are_split_evenly() -> None:
    assert sizes("auto", [0.1] * 10, 4) == sizes("even", [0.1] * 10, 4) == [3, 3, 2, 2]
    assert sizes("auto", [5, *[1] * 9], 3) == [1, 5, 4]


def test_a_given_partition_is_taken_as_it_is() -> None:
    assert sizes("3,4,3", [1.0] * 10, 3) == [3, 4, 3]
    assert sizes("10", [1.0] * 10, 1) == [10]


@pytest.mark.parametrize(
    ("text", "workers", "says"),
    [
        ("auto", 11, "11 workers cannot share 10 layers: give at most 10 workers"),
        ("auto", 0, "0 workers: give at least 1"),
        ("3,4,4", 3, "has 11 layers and the network 10"),
        ("5,5", 3, "has 2 blocks for 3 workers"),
        ("5,0,5", 3, "has a block without layers"),
        ("12,-5,3", 3, "has a block without layers"),
        ("3,,7", 3, "not a list of whole numbers"),
        ("fair", 3, "not a list of whole numbers"),
        ("", 3, "such as 4,3,3"),
    ],
)
def test_what_cannot_be_is_refused_with_what_could(text: str, workers: int, says: str) -> None:
    with pytest.raises(UserError, match=says):
        partition(text, [1.0] * 10, workers)
