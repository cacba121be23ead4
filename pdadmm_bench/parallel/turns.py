"""Tasks in turns: while one task of a worker waits for a sum over rows, the next task goes on.

Two tasks are under way at a time, each in a thread of its own, because a thread can stop in the middle of a function.
But one of them runs at a time. A task gives way where it waits for a sum, and nowhere else. So the order of the sums
does not depend on what arrives first, and is the same in all workers, as torch.distributed asks for.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from threading import Semaphore, Thread

import torch

from pdadmm_bench.optim.reduction import Task


class _Abandoned(Exception):
    """The task of the other lane has failed."""


class Turns:
    """Two lanes, 0 and 1, in each of which one task after the other runs."""

    def __init__(self) -> None:
        self._busy = [False, False]
        self._running = 0
        self._gates = (Semaphore(0), Semaphore(0))
        self._tasks: deque[Task] = deque()
        self._error: BaseException | None = None

    def run(self, tasks: Iterable[Task]) -> None:
        """Run all tasks, which start in this order. The error of one is raised; the others end at their next wait."""
        self._tasks, self._error = deque(tasks), None
        self._gates, self._busy, self._running = (Semaphore(0), Semaphore(0)), [True, True], 0
        second = Thread(target=self._second_lane, args=(torch.get_num_threads(),), daemon=True)
        second.start()
        self._lane(0)
        second.join()
        if self._error is not None:
            raise self._error

    def give_way(self) -> None:
        """Let the task of the other lane go on until it gives way too, or ends; nothing where no tasks run."""
        mine = self._running
        if self._error is not None:
            raise _Abandoned
        if self._busy[1 - mine]:
            self._gates[1 - mine].release()
            self._gates[mine].acquire()
            self._running = mine
            if self._error is not None:
                raise _Abandoned

    def _second_lane(self, threads: int) -> None:
        torch.set_num_threads(threads)  # a new thread has torch's default
        self._gates[1].acquire()
        self._running = 1
        self._lane(1)

    def _lane(self, mine: int) -> None:
        try:
            while self._tasks and self._error is None:
                self._tasks.popleft()(mine)
        except _Abandoned:
            pass
        except BaseException as error:  # run raises it, whichever lane it was
            self._error = error
        finally:
            self._busy[mine] = False
            if self._busy[1 - mine]:
                self._gates[1 - mine].release()
