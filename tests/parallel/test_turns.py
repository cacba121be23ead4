"""Two tasks of a worker in turns: who runs when, and how they end."""

import threading

import pytest

from pdadmm_bench.parallel.turns import Turns


def recorded(turns: Turns, waits: list[int]) -> list[tuple[int, int]]:
    """The task and the place within it, in the order in which they ran; task i waits ``waits[i]`` times."""
    seen: list[tuple[int, int]] = []

    def task(number: int, lane: int) -> None:
        for place in range(waits[number] + 1):
            seen.append((number, place))
            if place < waits[number]:
                turns.give_way()

    turns.run(lambda lane, number=number: task(number, lane) for number in range(len(waits)))
    return seen


def test_a_task_goes_on_while_the_other_waits() -> None:
    assert recorded(Turns(), [2, 2]) == [(0, 0), (1, 0), (0, 1), (1, 1), (0, 2), (1, 2)]


def test_tasks_without_a_wait_run_one_after_the_other() -> None:
    assert recorded(Turns(), [0, 0, 0]) == [(0, 0), (1, 0), (2, 0)]


def test_a_lane_that_is_free_takes_the_next_task() -> None:
    assert recorded(Turns(), [1, 3, 1]) == [
        (0, 0), (1, 0), (0, 1), (2, 0), (1, 1), (2, 1), (1, 2), (1, 3),
    ]  # fmt: skip


def test_each_iteration_has_the_same_order() -> None:
    turns = Turns()
    assert len({tuple(recorded(turns, [2, 1, 3, 0, 2])) for _ in range(50)}) == 1


def test_tasks_that_run_together_are_in_different_lanes() -> None:
    turns, running = Turns(), set()

    def task(lane: int) -> None:
        assert lane not in running
        running.add(lane)
        turns.give_way()
        running.remove(lane)

    turns.run([task] * 7)
    assert not running


@pytest.mark.parametrize("failing", [0, 1, 2])
def test_the_error_of_any_task_is_raised_and_the_others_end(failing: int) -> None:
    turns, ended = Turns(), []

    def task(number: int, lane: int) -> None:
        turns.give_way()
        if number == failing:
            raise ValueError(number)
        turns.give_way()
        turns.give_way()
        ended.append(number)

    before = threading.active_count()
    with pytest.raises(ValueError, match=str(failing)):
        turns.run(lambda lane, number=number: task(number, lane) for number in range(4))
    assert failing not in ended
    assert threading.active_count() == before
    assert recorded(turns, [1, 1]) == [(0, 0), (1, 0), (0, 1), (1, 1)]


def test_a_wait_outside_of_tasks_is_no_turn() -> None:
    turns = Turns()
    turns.give_way()
    assert recorded(turns, [1]) == [(0, 0), (0, 1)]
    turns.give_way()
