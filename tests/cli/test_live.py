"""The display: lines off a terminal, a bar on one, reasons always."""

from __future__ import annotations

import io

from rich.console import Console

from pdadmm_bench.cli.views.live import LiveView, run_line
from pdadmm_bench.core.rows import Row, make_row
from pdadmm_bench.core.spec import run_spec


class Screen:
    """A view with its two streams captured."""

    def __init__(self, *, terminal: bool = False, quiet: bool = False, optimizers: tuple[str, ...] = ("pdadmm",)):
        self.err, self.out = io.StringIO(), io.StringIO()
        stderr = Console(file=self.err, force_terminal=terminal, width=80, color_system=None)
        specs = [run_spec({"optimizer": name}) for name in optimizers]
        self.view = LiveView(quiet=quiet, specs=specs, stderr=stderr, stdout=Console(file=self.out, width=200))

    def play(
        self,
        *,
        iterations: int = 100,
        status: str = "ok",
        dataset: str = "cora",
        stages: str = "none",
        optimizer: str = "pdadmm",
        **values: object,
    ) -> Row:
        settings = {"dataset": dataset, "optimizer": optimizer, "iterations": iterations, "warm_start": stages}
        spec = run_spec({**settings, "layers": 10})
        self.view.started(spec, {})
        for layers, until in spec.stages():
            self.view.on_warm_start_step(layers, {"iteration": 0, "acc_val": 0.1, "loss_train": 3.0})
            for k in range(1, until + 1):
                self.view.on_warm_start_step(layers, {"iteration": k, "iteration_seconds": 0.005, "loss": 2.0})
        self.view.stepped({"iteration": 0, "acc_val": 0.1})
        for k in range(1, iterations + 1):
            step = {"iteration": k, "iteration_seconds": 0.012, "loss": 1 / k}
            self.view.stepped(step | ({"acc_val": 0.75} if k % 7 == 0 else {}))
        names = {"optimizer_name": optimizer, "dataset_name": dataset, "seed": 0}
        row = make_row({**names, "status": status, "acc_test_at_best_val": 0.812, **values})
        self.view.finished(row, [])
        return row


def test_plain_lines_are_few() -> None:
    screen = Screen()
    with screen.view:
        screen.play(iterations=1000)
    lines = screen.err.getvalue().splitlines()
    assert len(lines) == 11
    assert lines[0] == "pdadmm cora seed 0: iteration 100/1000  loss 0.01  val 75.0 %  12 ms/iter"
    assert lines[-1] == "✓ pdadmm cora seed 0  test 81.2 %"
    assert screen.out.getvalue() == ""


def test_a_warm_start_is_shown_within_the_lines_of_its_run() -> None:
    screen = Screen()
    screen.play(iterations=600, stages="2:300,5:100")
    lines = screen.err.getvalue().splitlines()
    assert len(lines) == 11
    assert lines[0] == "pdadmm cora seed 0: warm start, 2 layers, iteration 100/300  loss 2  5 ms/iter"
    assert lines[3] == "pdadmm cora seed 0: warm start, 5 layers, iteration 100/100  loss 2  5 ms/iter"
    assert lines[4] == "pdadmm cora seed 0: iteration 100/600  loss 0.01  val 75.0 %  12 ms/iter"


def test_the_bar_is_that_of_the_stage_and_then_of_the_run() -> None:
    screen = Screen(terminal=True)
    with screen.view:
        screen.play(iterations=600, stages="2:300")
    text = screen.err.getvalue()
    stage, end = text.index("300/300 warm start, 2 layers  loss 2  5 ms/iter"), text.rindex("600/600 loss")
    assert stage < end and "warm start" not in text[end:]


def test_fewer_iterations_than_lines() -> None:
    screen = Screen()
    screen.play(iterations=3)
    assert len(screen.err.getvalue().splitlines()) == 4


def test_a_terminal_gets_a_bar_and_keeps_the_last_line() -> None:
    screen = Screen(terminal=True, optimizers=("pdadmm", "pdadmm"))
    with screen.view:
        screen.play()
        screen.play()
    text = screen.err.getvalue()
    assert "[1/2] pdadmm cora seed 0" in text
    assert "[2/2] pdadmm cora seed 0" in text
    assert "val 75.0 %" in text
    assert "12 ms/iter" in text
    assert "100/100" in text
    assert text.count("✓ pdadmm cora seed 0  test 81.2 %") == 2


def test_the_standings_so_far_stand_below_the_bars() -> None:
    """The best first: mean validation accuracy over the finished runs, how many there are, and what is left."""
    screen = Screen(terminal=True, optimizers=("adam", "pdadmm", "adam", "pdadmm"))
    with screen.view:
        screen.play(optimizer="adam", acc_val_best=0.70)
        screen.play(optimizer="pdadmm", acc_val_best=0.80)
        screen.play(optimizer="adam", status="diverged", acc_val_best=0.1)
        last = screen.err.tell()
        screen.play(optimizer="pdadmm", acc_val_best=0.81)
    while_last_runs = screen.err.getvalue()[last:].split("best validation accuracy, mean")[2]
    first, second = [line.split() for line in while_last_runs.splitlines() if line.startswith(("adam", "pdadmm"))][:2]
    assert first[:7] == ["pdadmm", "80.0", "%", "(n=1)", "1", "of", "2"] and first[-1] == "s"
    assert " ".join(second) == "adam 70.0 % (n=1) 2 of 2, 1 failed"
    assert "all runs" in while_last_runs and "3/4" in while_last_runs
    assert "80.5 % (n=2)" in screen.err.getvalue()


def test_off_a_terminal_the_rest_is_in_the_line_of_each_run() -> None:
    screen = Screen(optimizers=("adam", "pdadmm"))
    screen.play(iterations=1, optimizer="adam")
    screen.play(iterations=1)
    lines = screen.err.getvalue().splitlines()
    assert len(lines) == 4 and "so far" not in screen.err.getvalue()
    assert lines[1] == "✓ adam cora seed 0  test 81.2 %  (0 s left)" and "left" not in lines[3]


def test_quiet_shows_failures_warnings_and_the_table() -> None:
    screen = Screen(quiet=True)
    screen.view.note("downloading")
    screen.view.warn("rho is small")
    rows = [screen.play(), screen.play(status="diverged", status_reason="objective not finite at iteration 7")]
    assert screen.err.getvalue().splitlines() == [
        "warning: rho is small",
        "✗ pdadmm cora seed 0  diverged: objective not finite at iteration 7  test 81.2 %",
    ]
    screen.view.summary(rows)
    assert "81.2 % (n=1)" in screen.out.getvalue()
    assert "1 ok, 1 diverged" in screen.out.getvalue()


def test_names_are_not_markup() -> None:
    screen = Screen(terminal=True)
    with screen.view:
        screen.play(dataset="sbm[red]")
    assert "pdadmm sbm[red] seed 0" in screen.err.getvalue()


def test_a_skipped_run_says_why() -> None:
    row = make_row(
        {
            "optimizer_name": "gpipe",
            "dataset_name": "cora",
            "seed": 3,
            "status": "skipped",
            "status_reason": "one layer",
        }
    )
    assert run_line(row) == "– gpipe cora seed 3  skipped: one layer"


def test_no_runs_no_table() -> None:
    screen = Screen()
    screen.view.summary([])
    assert screen.out.getvalue() == ""


def test_a_finished_run_says_what_was_trained_first() -> None:
    values = {"optimizer_name": "adam", "dataset_name": "cora", "seed": 0, "model_layers": 4, "model_hidden": 64}
    values |= {"status": "ok", "iterations": 40, "time_train_s": 0.364}
    warm = {"model_warm_start": "2:40 function", "time_warm_start_s": 0.143}
    assert run_line(make_row(values | warm)).endswith("warm start 2×64: 40 it, 143 ms + 4×64: 40 it, 221 ms")
    assert run_line(make_row(values)).endswith("  40 iterations in 364 ms")
