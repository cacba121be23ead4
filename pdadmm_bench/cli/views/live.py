"""What a user sees while runs go on: bars and standings on a terminal, a few plain lines elsewhere, a table at the end.

Progress goes to stderr, the table to stdout. A terminal is redrawn by :meth:`LiveView.stepped`, which the runner calls
off the clock. A thread of its own would take time from the iteration that is being measured.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping, Sequence
from statistics import median
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import TaskID

from pdadmm_bench.cli.views import console
from pdadmm_bench.cli.views.bars import BarView
from pdadmm_bench.core.eta import EtaEstimate, Underway, fraction_done
from pdadmm_bench.core.rows import STATUSES, Row, status_of
from pdadmm_bench.core.spec import RunSpec
from pdadmm_bench.report import render
from pdadmm_bench.report.tables.progress import Standings
from pdadmm_bench.report.tables.summary import summary_table
from pdadmm_bench.report.units import duration, seconds
from pdadmm_bench.training.observer import Observer

_REDRAW_SECONDS = 0.1
_PLAIN_LINES = 10


class LiveView(BarView, Observer):
    """The display of one invocation; a context manager, and an observer of every run in it, one after the other.

    Args:
        quiet: show only failures and the final table.
        specs: the runs there will be; of several, a run is shown as "2/6", and on a terminal the standings so far.
        stderr, stdout: consoles to write to (for tests).
    """

    def __init__(
        self,
        *,
        quiet: bool = False,
        specs: Sequence[RunSpec] = (),
        stderr: Console | None = None,
        stdout: Console | None = None,
    ):
        super().__init__(quiet=quiet, stderr=stderr, stdout=stdout)
        self._done, self._total = 0, max(1, len(specs))
        names = [spec.optimizer for spec in specs]
        self._eta, self._standings = EtaEstimate((name, None) for name in names), Standings()
        for name in names:
            self._standings.expect(name, name)
        self._all: TaskID | None = None
        self._spec: RunSpec | None = None
        self._fraction = 0.0
        self._since: float | None = None
        """When the run began. What comes after a run, such as its tracking, is counted to the next one."""
        self._task: TaskID | None = None
        self._latest: dict[str, float] = {}
        self._recent: deque[float] = deque(maxlen=20)

    def __enter__(self) -> LiveView:
        if self.live:
            self.bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.live:
            self.bars.stop()

    def started(self, spec: RunSpec, facts: Mapping[str, Any]) -> None:
        """Show the run that begins."""
        place = f"[{self._done + 1}/{self._total}] " if self._total > 1 else ""
        dataset = facts.get("dataset_name", spec.data.dataset)  # as the line of the finished run has it
        self._name = f"{place}{spec.optimizer} {dataset} seed {spec.seed}"
        self._spec, self._fraction = spec, 0.0
        if self._total == 1:
            self._eta = EtaEstimate([(spec.optimizer, None)])
        self._since = self._since or time.monotonic()
        self._iterations, self._stages = spec.iterations, dict(spec.stages())
        self._next_redraw, self._tenth = 0.0, 0
        if self.live:
            if self._total > 1 and self._all is None:
                self._all = self.bars.add_task("all runs", total=self._total, facts="")
            self._task = self.bars.add_task(self._name, total=spec.iterations, facts="")
            self._redraw()

    def on_warm_start_step(self, layers: int, step: Mapping[str, float]) -> None:
        """Show the iteration of the warm start as one of the run."""
        before = sum(iterations for depth, iterations in self._stages.items() if depth < layers)
        assert self._spec is not None
        self._fraction = fraction_done(self._spec, int(step["iteration"]), layers)
        self._show(step, self._stages[layers], before, f"warm start, {layers} layers")

    def stepped(self, step: Mapping[str, float]) -> None:
        """Show the iteration: at most ten times a second on a terminal, ten lines per run elsewhere."""
        assert self._spec is not None
        self._fraction = fraction_done(self._spec, int(step["iteration"]))
        self._show(step, self._iterations, sum(self._stages.values()))

    def _show(self, step: Mapping[str, float], total: int, before: int, *stage: str) -> None:
        iteration = int(step["iteration"])
        if stage or not iteration:
            self._latest.clear()  # a warm start is evaluated at its ends only, so older values are outdated
        if not iteration:
            self._recent.clear()
        self._latest.update(step)
        if "iteration_seconds" in step:
            self._recent.append(step["iteration_seconds"])
        if self._task is not None:
            now = time.monotonic()
            if now >= self._next_redraw or iteration >= total:
                left = self._left() if self._total == 1 else ""
                facts = "  ".join([*stage, *self._facts(), *([f"{left} left"] if left else [])])
                self.bars.update(self._task, total=total, completed=iteration, facts=facts)
                self._redraw()
                self._next_redraw = now + _REDRAW_SECONDS
        elif not self.quiet:
            whole = sum(self._stages.values()) + self._iterations
            tenth = (before + iteration) * _PLAIN_LINES // max(whole, 1)
            if tenth > self._tenth:
                where = ", ".join([*stage, f"iteration {iteration}/{total}"])
                self.say("  ".join([f"{self._name}: {where}", *self._facts()]))
                self._tenth = tenth

    def on_message(self, text: str) -> None:
        """Show it as a line of its own."""
        self.report(text)

    def finished(self, row: Row, history: Sequence[Mapping[str, float]]) -> None:
        """Replace the bar by one line about how the run ended, and about how long the others will take."""
        self._done += 1
        now, self._fraction = time.monotonic(), 1.0
        if self._total > 1:
            told = self._since is not None and status_of(row).complete
            self._eta.over(row["optimizer_name"], now - (self._since or now) if told else 0.0)
            self._standings.finished(row["optimizer_name"], row)
        self._since = now
        if self._task is not None:
            self.bars.remove_task(self._task)
            self._task = None
            self._redraw()
        complete = status_of(row).complete
        if not (self.quiet and complete):
            left = "" if self.live or self._done >= self._total else self._left()
            rest = f"  ({left} left)" if left else ""
            style = "" if complete else "yellow" if row["status"] == "skipped" else "red"
            self.say(run_line(row) + rest, style=style)

    def summary(self, rows: Sequence[Row]) -> None:
        """The final table."""
        if rows:
            console.show(summary_table(rows), console=self.stdout)

    def _redraw(self) -> None:
        if self._all is not None and self._spec is not None:
            left = self._left()
            self.bars.update(self._all, completed=self._done, facts=f"{left} left" if left else "")
            self.bars.below = render.terminal(self._standings.table(self._spec.optimizer, self._left))
        self.bars.refresh()

    def _left(self, kind: str | None = None) -> str:
        """How long all runs, or those of one optimizer, will still take; empty where that is not known yet."""
        running = []
        if self._spec is not None and self._since is not None and self._fraction < 1:
            running.append(Underway(self._spec.optimizer, time.monotonic() - self._since, self._fraction))
        left = self._eta.seconds(running, kind)
        return "" if left is None else duration(left)

    def _facts(self) -> list[str]:
        parts = []
        # An ADMM sweep reports the loss of its own output variable; that of the network compares across optimizers.
        loss = self._latest.get("loss_train", self._latest.get("loss"))
        if loss is not None:
            parts.append(f"loss {loss:.4g}")
        if "acc_val" in self._latest:
            parts.append(f"val {100 * self._latest['acc_val']:.1f} %")
        if self._recent:
            parts.append(f"{seconds(median(self._recent))}/iter")
        return parts


def run_line(row: Row, name: str | None = None) -> str:
    """One line about a finished run: how it ended, and its numbers or the reason it has none."""
    status = row["status"]
    mark = "✓" if STATUSES[status].complete else "–" if status == "skipped" else "✗"
    parts = [f"{mark} {name or '{optimizer_name} {dataset_name} seed {seed}'.format(**row)}"]
    if status != "ok":
        reason = row.get("status_reason")
        parts.append(status.replace("_", " ") + (f": {reason}" if reason else ""))
    accuracy = row["acc_test_at_best_val"]
    if accuracy is not None:
        parts.append(f"test {100 * accuracy:.1f} %")
    if row["time_iteration_median_s"] is not None:
        parts.append(f"{seconds(row['time_iteration_median_s'])}/iter")
    if row["iterations"] and row["time_train_s"] is not None:
        parts.append(_duration(row))
    return "  ".join(parts)


def _duration(row: Row) -> str:
    """``warm start 2×64: 40 it, 143 ms + 4×64: 40 it, 221 ms``; without a warm start ``40 iterations in 221 ms``."""
    warm_start_s = row.get("time_warm_start_s")
    if warm_start_s is None or not row.get("model_warm_start"):
        return f"{row['iterations']} iterations in {seconds(row['time_train_s'])}"
    hidden = row["model_hidden"]
    stages = [stage.split(":") for stage in str(row["model_warm_start"]).split()[0].split(",")]
    warm = " + ".join(f"{layers}×{hidden}: {iterations} it" for layers, iterations in stages)
    whole = f"{row['model_layers']}×{hidden}: {row['iterations']} it, {seconds(row['time_train_s'] - warm_start_s)}"
    return f"warm start {warm}, {seconds(warm_start_s)} + {whole}"
