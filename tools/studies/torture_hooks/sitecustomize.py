"""In a process under torture: says which phase it is in, by a file, and stays there for a while.

Python imports it at its start. Each phase of a run writes ``$TORTURE/PHASE-RANK``, so that a signal provably hits it.
"""

import importlib.util
import os
import sys
import time
from pathlib import Path

FOLDER = os.environ.get("TORTURE")
RANK = os.environ.get("RANK", "parent")
PAUSE_S = {"start": 1.0, "warm-start": 1.0, "training": 0.1, "evaluation": 0.3, "end": 2.0}


def reached(phase):
    """Say that this process is in ``phase``, and stay there."""
    Path(FOLDER, f"{phase}-{RANK}").touch()
    time.sleep(PAUSE_S[phase])


def around(owner, name, phase, after=False):
    """``owner.name`` reaches ``phase`` before it does its work, or ``after`` it."""
    real = getattr(owner, name)

    def wrapped(*arguments, **options):
        if not after:
            reached(phase)
        try:
            return real(*arguments, **options)
        finally:
            if after:
                reached(phase)

    setattr(owner, name, wrapped)


PATCHES = {
    "pdadmm_bench.training.worker": lambda module: (
        around(module.Worker, "evaluate", "evaluation"), around(module.Worker, "timed_step", "training"),
    ),
    "pdadmm_bench.training.run": lambda module: around(module._Run, "_warm_start", "warm-start"),
    "pdadmm_bench.parallel.group": lambda module: around(module.dist, "destroy_process_group", "end"),
}  # fmt: skip


class Finder:
    """Patches a module of :data:`PATCHES` once it has been imported."""

    def find_spec(self, name, path=None, target=None):
        """The real spec, whose loader also patches."""
        if name not in PATCHES:
            return None
        sys.meta_path.remove(self)
        try:
            spec = importlib.util.find_spec(name)
        finally:
            sys.meta_path.insert(0, self)
        load, patch = spec.loader.exec_module, PATCHES[name]

        def exec_module(module):
            load(module)
            patch(module)

        spec.loader.exec_module = exec_module
        return spec


if FOLDER and RANK != "parent":
    sys.meta_path.insert(0, Finder())
    reached("start")
