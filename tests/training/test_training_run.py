"""The loop, the clock and how runs end."""

import dataclasses
import gc
import itertools
import weakref

import pytest
import torch
from fake_optimizers import Scripted
from toy import Recorder, toy_problem, toy_spec

from pdadmm_bench.core.errors import UserError
from pdadmm_bench.core.rows import FIXED
from pdadmm_bench.core.spec import run_spec
from pdadmm_bench.optim.gradient.adam import Adam
from pdadmm_bench.parallel.group import Group
from pdadmm_bench.timing.generated import generated_problem
from pdadmm_bench.training.preflight import cautions, mesh_remark, remarks
from pdadmm_bench.training.row import failed, failed_with, results_from
from pdadmm_bench.training.run import WARMUP_ITERATIONS, run, time_iterations
from pdadmm_bench.training.worker import join


@pytest.fixture
def scripted(install, monkeypatch):
    """``scripted(script)`` is a run with an optimizer that calls ``script`` with the number of each of its steps."""
    install("pdadmm_bench.optimizers", scripted="fake_optimizers:Scripted")

    def make(script):
        monkeypatch.setattr(Scripted, "script", script, raising=False)
        monkeypatch.setattr(Scripted, "calls", 0, raising=False)
        return toy_spec(optimizer="scripted")

    return make


def test_row_has_every_fixed_name_and_the_history_every_iteration():
    recorder = Recorder()
    result = run(toy_spec(eval_every=4), toy_problem(), [recorder])
    assert set(FIXED) <= set(result.row)
    assert [step["iteration"] for step in result.history] == list(range(11))
    assert [step["iteration"] for step in result.history if "acc_val" in step] == [0, 4, 8, 10]
    assert recorder.steps == result.history
    assert recorder.rows == [result.row]
    assert recorder.facts["weights_initial_sha256"] == result.row["weights_initial_sha256"]
    assert result.row["model_parameters"] == 8 * 13 + 8 * 9 + 3 * 9
    assert result.row["dist_schedule"] is None


def test_only_steps_are_on_the_training_clock():
    """A clock that advances one second per reading gives each measured block exactly one second."""
    ticks = itertools.count()
    row = run(toy_spec(), toy_problem(), now=lambda: float(next(ticks))).row
    assert row["time_train_s"] == 10.0
    assert row["time_iteration_median_s"] == row["time_iteration_p5_s"] == row["time_iteration_p95_s"] == 1.0
    assert row["time_evaluate_s"] == 10.0
    assert row["time_log_s"] == 11.0


def test_warmup_runs_on_a_state_that_is_thrown_away(scripted):
    steps = []
    result = run(scripted(steps.append), toy_problem())
    assert len(steps) == 10 + WARMUP_ITERATIONS
    assert len(result.history) == 11
    assert result.row["weights_sha256"] == run(toy_spec(), toy_problem()).row["weights_sha256"]


def test_target_stops_and_is_timed():
    row = run(toy_spec(target=0.9, iterations=200, set={"lr": 0.05}), toy_problem()).row
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
    row = run(toy_spec(target=1.0), toy_problem(spread=0.0)).row
    assert (row["status"], row["time_to_target_s"]) == ("ok", None)


def test_time_limit():
    row = run(toy_spec(time_limit=1e-9), toy_problem()).row
    assert (row["status"], row["iterations"]) == ("timeout", 1)


def test_divergence_names_the_iteration():
    row = run(toy_spec(optimizer="sgd", set={"lr": 1e30}, iterations=50), toy_problem()).row
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
@pytest.mark.slow
def test_what_happens_in_training_is_a_status_and_keeps_what_there_was(scripted, raised, status):
    def fail(step):
        if step == WARMUP_ITERATIONS + 4:
            raise raised

    result = run(scripted(fail), toy_problem())
    assert (result.row["status"], result.row["iterations"]) == (status, 4)
    assert result.row["acc_test_final"] is not None
    assert result.error is raised


def test_unsupported_is_skipped_with_the_reason(install):
    install("pdadmm_bench.optimizers", refused="fake_optimizers:Refused")
    row = run(toy_spec(optimizer="refused"), toy_problem()).row
    assert (row["status"], row["status_reason"], row["iterations"]) == ("skipped", "not on Sundays", 0)


def test_cuda_without_a_device_is_an_error():
    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    with pytest.raises(UserError, match="sees 0 CUDA devices"):
        run(toy_spec(device="cuda"), toy_problem())


def test_best_validation_row_is_the_first_best():
    result = run(toy_spec(iterations=40, set={"lr": 0.05}), toy_problem())
    evaluated = result.history[1:]
    best = max(step["acc_val"] for step in evaluated)
    first = next(step for step in evaluated if step["acc_val"] == best)
    assert result.row["acc_val_best"] == best
    assert result.row["acc_test_at_best_val"] == first["acc_test"]
    assert result.row["acc_best_iteration"] == first["iteration"]


@pytest.mark.parametrize(
    "text",
    [
        "CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported",  # AcceleratorError
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        "NCCL error: unhandled cuda error, Last error: Cuda failure 2 'out of memory'",
        "[enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: can't allocate memory",
        "[Errno 12] Cannot allocate memory",
    ],
)
def test_memory_that_ran_out_has_many_spellings(text):
    assert failed(RuntimeError(text)) == failed_with(f"AcceleratorError: {text}") == "oom"


def test_other_errors_are_no_want_of_memory():
    assert failed(RuntimeError("CUDA error: an illegal memory access was encountered")) == "error"
    assert failed(torch.OutOfMemoryError("no")) == failed_with("OutOfMemoryError: no") == failed(MemoryError()) == "oom"


def test_a_failed_run_keeps_no_tensor_alive(monkeypatch):
    """Its exception is kept, for the next run may be the one that shows it; the tensors of its calls are not."""
    held = []

    def step(self, state):
        large = torch.zeros(1000)
        held.extend([weakref.ref(large), weakref.ref(state.layers[0].weight)])
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(Adam, "step", step)
    result = run(toy_spec(), toy_problem())
    assert (result.row["status"], result.layers) == ("oom", [])
    assert "bytes of state planned, " in result.row["status_reason"]
    assert isinstance(result.error, torch.OutOfMemoryError)
    assert [reference() for reference in held] == [None, None]


def test_the_peak_of_a_device_is_reset_and_told_with_its_size(monkeypatch):
    worker = join(toy_spec(), toy_problem(), Group())
    worker.device = torch.device("cuda")
    calls = []
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda: calls.append("reset"))
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda: 1234)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    device = type("Device", (), {"name": "H200", "total_memory": 99_999})
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: device)
    worker.reset_peak()
    assert calls == ["reset"]
    assert worker.memory_text() == "1,234 allocated at most on a H200 of 99,999"


def test_the_default_preset_is_remarked_upon_below_and_what_a_user_chose_is_warned_about():
    outside = {"optimizer": "pdadmm", "dataset": "cora", "set": {"rho": 1e-3, "nu": 1e-3}}
    assert "outside the convergence theorem" in cautions([run_spec(outside)])[0]
    assert remarks([run_spec(outside)]) == []
    ours = run_spec({"optimizer": "pdadmm-q", "dataset": "cora"})
    assert cautions([ours]) == []
    assert "outside the convergence theorem" in remarks([ours])[0]


def test_what_mesh_auto_would_take_is_remarked_upon_where_the_default_splits_the_layers() -> None:
    many_rows = {"dataset": "ogbn-arxiv", "gpus": 2, "device": "cpu", "hidden": 64}
    specs = [run_spec({**many_rows, "optimizer": name, "seed": seed}) for name in ("adam", "sgd") for seed in (0, 1)]
    said = mesh_remark(specs)
    assert said == "the 2 workers share the layers; --mesh auto would take layers=1,rows=2 for adam, sgd"
    for alone in ({"mesh": "rows"}, {"mesh": "auto"}, {"gpus": 1}, {"partition": "5,5"}):
        assert mesh_remark([run_spec({**many_rows, "optimizer": "adam", **alone})]) is None, alone


def test_the_number_of_micro_batches_with_the_fastest_step_is_taken(monkeypatch):
    """One worker stands for a stage: 1, 2, 4 and 8 micro-batches are tried, and the clock says what each takes."""
    takes, now, tried = {1: 4.0, 2: 3.0, 4: 2.0, 8: 5.0}, [0.0], []
    worker = join(toy_spec(microbatches="auto"), toy_problem(), Group(), now=lambda: now[0])
    assert not worker.measures_microbatches, "there is no pipeline"
    worker.layout = dataclasses.replace(worker.layout, schedule="gpipe")
    assert worker.measures_microbatches

    def step(state):
        tried.append(worker.layout.microbatches)
        now[0] += takes[worker.layout.microbatches]

    monkeypatch.setattr(worker.optimizer, "step", step)
    assert worker.fastest_microbatches(worker.initial_layers()) == 4
    assert sorted(set(tried)) == [1, 2, 4, 8]


@pytest.mark.parametrize("optimizer", ["pdadmm", "adam"])
def test_a_measurement_frees_its_state(optimizer: str) -> None:
    """One after the other, the measurements of scale would fill the memory if a garbage collection had to free each."""
    spec = run_spec({"dataset": "sbm", "optimizer": optimizer, "layers": 3, "hidden": 37, "warm_start": "none"})
    problem = generated_problem(rows=113, features=37, classes=5)

    def tensors() -> int:
        return sum(isinstance(x, torch.Tensor) and x.shape in {(113, 37), (37, 37)} for x in gc.get_objects())

    gc.collect()
    gc.disable()
    try:
        before = tensors()
        time_iterations(spec, problem, Group(), 1)
        assert tensors() == before
    finally:
        gc.enable()
