"""A process that runs benchmarks with the code of one side of the gate.

It is no :class:`~pdadmm_bench.core.child.Child`: the code of the other side may be older than the function that such a
child would call. It runs a file of this side (:mod:`pdadmm_bench.gate.probe`). Requests and answers are JSON.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

from pdadmm_bench.core.child import exit_reason, read_log, start_python
from pdadmm_bench.gate.checkout import CannotCompare, Checkout

PROBE = Path(__file__).with_name("probe.py")
END_S = 10.0
"""Seconds a process has to end by itself before it is killed."""


class BenchmarkProcess:
    """One process of a side. It starts at once; :meth:`check_code` waits for it. The context manager ends it."""

    def __init__(self, checkout: Checkout):
        self._checkout = checkout
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  (closed with the process)
        self._process = start_python(
            [str(PROBE)], roots=checkout.roots,
            # The same hashes in every process, so that no two differ by the order of a set.
            environment={"PYTHONHASHSEED": "0"}, stdout=subprocess.PIPE, stderr=self._log,
        )  # fmt: skip
        self.ask("where", modules=list(checkout.modules))

    @property
    def pid(self) -> int:
        """The process as the system knows it."""
        return self._process.pid

    def ask(self, do: str, **request: Any) -> None:
        """Send a request; :meth:`answer` waits for its result."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it ended, which the answer reports
            self._process.stdin.write((json.dumps({"do": do, **request}) + "\n").encode())
            self._process.stdin.flush()

    def answer(self, progress: Callable[[], None] = lambda: None) -> Any:
        """The result of the request; raises :class:`CannotCompare` for one that failed."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            said = json.loads(line)
            if "progress" in said:
                progress()
            elif "error" in said:
                raise CannotCompare(f"{self._checkout.name}: {said['error']}")
            else:
                return said["result"]
        raise CannotCompare(f"{self._checkout.name}: the benchmarks' process ended: {self._last_words()}")

    def call(self, do: str, **request: Any) -> Any:
        """Send a request and return its result."""
        self.ask(do, **request)
        return self.answer()

    def check_code(self) -> None:
        """Make sure that the code is the checkout's: comparing a tree with itself would always pass."""
        for module, file in self.answer().items():
            if not any(Path(file).resolve().is_relative_to(root.resolve()) for root in self._checkout.roots):
                raise CannotCompare(f"{self._checkout.name}: {module} came from {file} instead of the revision")

    def _last_words(self) -> str:
        code = self._process.wait(END_S)
        lines = read_log(self._log).strip().splitlines()
        return lines[-1] if lines else exit_reason(code)

    def __enter__(self) -> BenchmarkProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        if kind is not None:
            self._process.terminate()
        try:
            self._process.wait(END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
        self._log.close()
