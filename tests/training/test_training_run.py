"""The loop, the clock and how runs end."""

import itertools

import pytest
import torch

from pdadmm_bench.core.errors import UserError
from pdadmm_bench.core.rows import FIXED
from pdadmm_bench.core.spec import run_spec
from pdadmm_bench.data.problem import Problem, Rows
from pdadmm_bench.optim.gradient.adam import Adam
from pdadmm_bench.training.row import results_from
from pdadmm_bench.training.run import WARMUP_ITERATIONS, Observer, run


def problem(spread: float = 3.0) -> Problem:
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(60) % 3
    x = spread * torch.nn.functional.one_hot(y, 8).float() + torch.randn(60, 8, generator=generator)
    part = Rows(x=x, y=y)
    return Problem(name="toy", split="random", num_classes=3, train=part, val=part, test=part, sha256="abc")


def spec(**values):
    plain = {"layers": 3, "hidden": 8, "iterations": 10, "optimizer": "adam", "preset": "none", "warm_start": "none"}
    return run_spec({**plain, **values})


class Recorder(Observer):
    def __init__(self):
        self.steps, self.warming, self.rows, self.facts = [], [], [], None

    def started(self, spec, facts):
        self.facts = facts

    def on_warm_start_step(self, layers, step):
        self.warming.append((layers, int(step["iteration"])))

    def stepped(self, step):
        self.steps.append(step)

    def finished(self, row, history):
        self.rows.append(row)


def test_row_has_every_fixed_name_and_the_history_every_iteration():
    recorder = Recorder()
    result = run(spec(eval_every=4), problem(), [recorder])
    assert set(FIXED) <= set(result.row)
    assert [step["iteration"] for step in result.history] == list(range(11))
    assert [step["iteration"] for step in result.history if "acc_val" in step] == [0, 4, 8, 10]
    assert recorder.steps == result.history
    assert recorder.rows == [result.row]
    assert recorder.facts["weights_initial_sha256"] == result.row["weights_initial_sha256"]
    assert result.row["model_parameters"] == 8 * 9 + 8 * 9 + 3 * 9
    assert result.row["dist_schedule"] is None


def test_only_steps_are_on_the_training_clock():
    """A clock that advances one second per reading gives each measured block exactly one second."""
    ticks = itertools.count()
    row = run(spec(), problem(), now=lambda: float(next(ticks))).row
    assert row["time_train_s"] == 10.0
    assert row["time_iteration_median_s"] == row["time_iteration_p5_s"] == row["time_iteration_p95_s"] == 1.0
    assert row["time_evaluate_s"] == 10.0
    assert row["time_log_s"] == 11.0


def test_warmup_runs_on_a_state_that_is_thrown_away(monkeypatch):
    states = []
    step = Adam.step

    def counted(self, state):
        states.append(id(state))
        step(self, state)

    monkeypatch.setattr(Adam, "step", counted)
    result = run(spec(), problem())
    assert len(states) == 10 + WARMUP_ITERATIONS
    assert len(result.history) == 11


def test_target_stops_and_is_timed():
    row = run(spec(target=0.9, iterations=200, set={"lr": 0.05}), problem()).row
    assert row["status"] == "target_reached"
    assert row["acc_val_final"] >= 0.9
    assert row["iterations"] < 200
    assert row["time_to_target_s"] == pytest.approx(row["time_train_s"])


def test_near_best_is_the_first_time_at_99_percent_of_the_best():
    accuracies = [0.9, 0.5, 0.7, 0.791, 0.8]
    steps = [
        {"iteration": i, "train_seconds": 2.0 * i, "iteration_seconds": 2.0, "acc_val": accuracy}
        for i, accuracy in enumerate(accuracies)
    ]
    assert results_from(steps, None, {})["time_to_near_best_s"] == 8.0
    steps[3]["acc_val"] = 0.792
    assert results_from(steps, None, {})["time_to_near_best_s"] == 6.0
    assert results_from(steps[:1], None, {})["time_to_near_best_s"] is None


def test_missed_target_is_null_and_the_status_ok():
    row = run(spec(target=1.0), problem(spread=0.0)).row
    assert (row["status"], row["time_to_target_s"]) == ("ok", None)


def test_time_limit():
    row = run(spec(time_limit=1e-9), problem()).row
    assert (row["status"], row["iterations"]) == ("timeout", 1)


def test_divergence_names_the_iteration():
    row = run(spec(optimizer="sgd", set={"lr": 1e30}, iterations=50), problem()).row
    assert row["status"] == "diverged"
    assert f"at iteration {row['iterations']}" in row["status_reason"]
    assert row["iterations"] < 50


@pytest.mark.parametrize(
    ("raised", "status"),
    [
        (KeyboardInterrupt(), "interrupted"),
        (MemoryError(), "oom"),
        (torch.OutOfMemoryError("CUDA out of memory"), "oom"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"), "oom"),
        (RuntimeError("surprise"), "error"),
    ],
)
def test_what_happens_in_training_is_a_status_and_keeps_what_there_was(monkeypatch, raised, status):
    calls = itertools.count()
    step = Adam.step

    def failing(self, state):
        if next(calls) == WARMUP_ITERATIONS + 4:
            raise raised
        step(self, state)

    monkeypatch.setattr(Adam, "step", failing)
    result = run(spec(), problem())
    assert (result.row["status"], result.row["iterations"]) == (status, 4)
    assert result.row["acc_test_final"] is not None
    assert result.error is raised


def test_unsupported_is_skipped_with_the_reason(monkeypatch):
    monkeypatch.setattr(Adam, "supports", classmethod(lambda cls, spec: "not on Sundays"))
    row = run(spec(), problem()).row
    assert (row["status"], row["status_reason"], row["iterations"]) == ("skipped", "not on Sundays", 0)


def test_cuda_without_a_device_is_an_error():
    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    with pytest.raises(UserError, match="sees 0 CUDA devices"):
        run(spec(device="cuda"), problem())


def test_best_validation_row_is_the_first_best():
    result = run(spec(iterations=40, set={"lr": 0.05}), problem())
    evaluated = result.history[1:]
    best = max(step["acc_val"] for step in evaluated)
    first = next(step for step in evaluated if step["acc_val"] == best)
    assert result.row["acc_val_best"] == best
    assert result.row["acc_test_at_best_val"] == first["acc_test"]
    assert result.row["acc_best_iteration"] == first["iteration"]
