"""The number of workers that a launcher such as torchrun has started."""

from __future__ import annotations

import os

from pdadmm_bench.core.errors import UserError


def launched() -> bool:
    """Whether this process was started as one worker of several, by torchrun or :mod:`pdadmm_bench.parallel.launch`."""
    return "RANK" in os.environ and "WORLD_SIZE" in os.environ


def check_world(gpus: int) -> int:
    """The number of workers a launcher started; raises :class:`UserError` when ``--workers`` says otherwise."""
    world = int(os.environ["WORLD_SIZE"])
    if gpus not in (1, world):
        raise UserError(f"--workers {gpus} under a launcher that started {world} workers; leave it out or say {world}")
    return world
