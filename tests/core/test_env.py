"""What a row says of the machine, and how its cores are shared."""

from __future__ import annotations

import os

import pytest
from fresh_python import run_in_fresh_python

from pdadmm_bench.core.env import threads_per_worker


@pytest.mark.slow
def test_devices_are_seen_once_torch_is_there() -> None:
    """Also by a program that asked before, when torch was not."""
    code = (
        "import sys\n"
        "from pdadmm_bench.core.env import environment\n"
        "assert environment()['env_gpu_count'] == 0 and 'torch' not in sys.modules\n"
        "import torch\n"
        "torch.cuda.is_available, torch.cuda.device_count = (lambda: True), (lambda: 2)\n"
        "torch.cuda.get_device_name = lambda index: 'a device'\n"
        "found = environment()\n"
        "assert (found['env_gpu'], found['env_gpu_count']) == ('a device', 2), found\n"
    )
    run_in_fresh_python(code)


@pytest.mark.parametrize(
    ("asked", "variable", "workers", "threads"),
    [(3, "2", 1, 3), (None, "2", 1, 2), (None, "", 2, 4), (None, "many", 2, 4), (None, "", 16, 1), (None, "0", 1, 1)],
)
def test_the_threads_of_a_worker(
    asked: int | None, variable: str, workers: int, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(8)), raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", variable)
    assert threads_per_worker(asked, workers) == threads
