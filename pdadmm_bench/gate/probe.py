"""A process that runs benchmarks of one side of the gate, started as a file with that side's checkout on the path.

The gate's own process belongs to the head; this process runs whatever ``pdadmm_bench`` it finds. So it uses few names
of it, and it also finds names that were elsewhere in an earlier revision (:func:`_find`). It reads a request per line
from stdin and answers each on its original stdout, as JSON; whatever is printed meanwhile goes to stderr.
"""

from __future__ import annotations

import importlib
import json
import os
import queue
import sys
import threading
from collections.abc import Callable
from typing import Any

Tell = Callable[[dict[str, Any]], None]


def _find(name: str, *modules: str) -> Any:
    """What ``name`` is in the first of the ``modules`` that has it: its home now, then those of older revisions."""
    for module in modules:
        try:
            return getattr(importlib.import_module(module), name)
        except (ModuleNotFoundError, AttributeError):
            continue
    raise ImportError(f"no {name} in {' or '.join(modules)}")


def _output(settings: dict[str, Any]) -> Any:
    """Where runs take their data from."""
    return _find("Output", "pdadmm_bench.core.options", "pdadmm_bench.cli.options")(**settings)


class Side:
    """The benchmarks of this side."""

    def __init__(self) -> None:
        self._problems: dict[str, Any] = {}
        self._cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []

    def where(self, request: dict[str, Any], tell: Tell) -> dict[str, Any]:
        """The files of the requested modules, which prove whose code this is."""
        importlib.import_module("pdadmm_bench.runner")  # takes seconds, in which the other side starts too
        return {name: importlib.import_module(name).__file__ for name in request["modules"]}

    def prepare(self, request: dict[str, Any], tell: Tell) -> None:
        """Fetch and compute the rows, so that they are in the cache."""
        from pdadmm_bench.core.errors import UserError
        from pdadmm_bench.core.spec import run_spec

        for flat in request["specs"]:
            try:
                spec = run_spec(flat)
            except UserError:
                continue  # reported when it has to run
            self._problem(spec, _output(request["output"]))

    def run(self, request: dict[str, Any], tell: Tell) -> list[dict[str, Any]]:
        """Row and history of every run; of a run that this side does not know, only why."""
        from pdadmm_bench.core.errors import UserError
        from pdadmm_bench.core.spec import run_spec
        from pdadmm_bench.runner import make_optimizer, run

        output = _output(request["output"])
        found: list[dict[str, Any]] = [{} for _ in request["specs"]]
        teams: dict[str, list[tuple[int, Any]]] = {}
        for place, flat in enumerate(request["specs"]):
            try:
                spec = run_spec(flat)
                make_optimizer(spec)
            except UserError as error:
                found[place] = {"unknown": str(error)}
                continue
            if spec.gpus > 1:
                teams.setdefault(f"{spec.gpus} {spec.data.model_dump_json()}", []).append((place, spec))
                continue
            result = run(spec, self._problem(spec, output))
            found[place] = {"row": result.row, "history": result.history}
            tell({"progress": place})
        for team in teams.values():
            for (place, _), kept in zip(team, _in_workers([spec for _, spec in team], output, tell), strict=False):
                found[place] = kept
        return found

    def time(self, request: dict[str, Any], tell: Tell) -> float:
        """Seconds of the fastest of some iterations of a new training, on the core ``core``.

        Other work of the machine can only add to a time, so the fastest iteration is disturbed least.
        """
        from pdadmm_bench.core.spec import run_spec

        make_subject = _find(
            "Subject", "pdadmm_bench.timing.subject", "pdadmm_bench.timing.profile", "pdadmm_bench.profiling"
        )
        spec = run_spec(request["spec"])
        problem = self._problem(spec, _output(request["output"]))
        if self._cores and request["core"] is not None:
            os.sched_setaffinity(0, {self._cores[request["core"] % len(self._cores)]})
        try:
            subject = make_subject(spec, problem)
            subject()
            return min(_seconds(subject) for _ in range(request["iterations"]))
        finally:
            if self._cores:
                os.sched_setaffinity(0, self._cores)

    def _problem(self, spec: Any, output: Any) -> Any:
        """The rows; the last ones are kept, since runs on the same data follow each other."""
        from pdadmm_bench.data.load import load_problem

        key = spec.data.model_dump_json()
        if key not in self._problems:
            self._problems.clear()
            self._problems[key] = load_problem(
                spec.data, data_root=output.data_root, cache=output.cache, offline=output.offline
            )
        return self._problems[key]


def _seconds(subject: Any) -> float:
    """The time of one iteration."""
    import torch

    from pdadmm_bench.core.clock import Clock

    clock = Clock(synchronize=torch.cuda.synchronize if subject.device.type == "cuda" else lambda: None)
    with clock.measure("iteration"):
        subject()
    return clock.last


class _Recorder:
    """The observer of a run over several workers."""

    def __init__(self, keep: Tell):
        self._keep = keep

    def started(self, spec: Any, facts: Any) -> None:
        """Nothing to keep yet."""

    def on_warm_start_step(self, layers: Any, step: Any) -> None:
        """Of a warm start only its seconds are kept."""

    warmed = on_warm_start_step  # its name in a base revision that is older

    def stepped(self, step: Any) -> None:
        """The history comes at the end."""

    def on_message(self, text: str) -> None:
        """A gate makes no checkpoints."""

    noticed = on_message  # its name in a base revision that is older

    def attach(self, name: str, text: str) -> None:
        """The row says why a worker failed."""

    def finished(self, row: Any, history: Any) -> None:
        """Keep both."""
        self._keep({"row": dict(row), "history": [dict(step) for step in history]})


def _in_workers(specs: list[Any], output: Any, tell: Tell) -> list[dict[str, Any]]:
    """The same for runs over several workers, which are started once."""
    run_in_workers = _find("run_in_workers", "pdadmm_bench.training.in_workers", "pdadmm_bench.cli.workers")
    found: list[dict[str, Any]] = []
    run_in_workers(specs, output, lambda: [_Recorder(found.append)], lambda row: tell({"progress": len(found)}))
    return found


def main() -> None:
    """Answer requests until the gate has no more, or has ended."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def tell(answer: dict[str, Any]) -> None:
        answers.write(json.dumps(answer) + "\n")
        answers.flush()

    side = Side()
    requests: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=_read, args=[requests], daemon=True).start()
    while True:
        request = json.loads(requests.get())
        try:
            tell({"result": getattr(side, request["do"])(request, tell)})
        except Exception as error:
            if os.environ.get("PDADMM_BENCH_DEBUG"):
                raise
            user = "UserError" in {kind.__name__ for kind in type(error).__mro__}
            tell({"error": str(error) if user else f"{type(error).__name__}: {error}"})


def _read(requests: queue.SimpleQueue[str]) -> None:
    """Pass requests on; end with the gate, even in the middle of a run."""
    for line in sys.stdin:
        requests.put(line)
    os._exit(0)


if __name__ == "__main__":
    main()
