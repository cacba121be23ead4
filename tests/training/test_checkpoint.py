"""Runs that go on from a checkpoint: to the same bits, told from other runs, and safe from a crash at any moment."""

import json
from dataclasses import replace

import pytest
import torch
from test_training_run import Recorder, problem, spec

from pdadmm_bench.core.errors import UserError
from pdadmm_bench.optim import contenders
from pdadmm_bench.training import checkpoint as module
from pdadmm_bench.training.checkpoint import Checkpoints
from pdadmm_bench.training.run import Observer, run


class Crash(Observer):
    """Ends a run in the middle of an iteration, as a crash of its process would."""

    def __init__(self, at: int, warming: bool = False):
        self.at, self.warming, self.notices = at, warming, []

    def on_warm_start_step(self, layers, step):
        if self.warming and step["iteration"] == self.at:
            raise RuntimeError("crash")

    def stepped(self, step):
        if not self.warming and step["iteration"] == self.at:
            raise RuntimeError("crash")

    def on_message(self, text):
        self.notices.append(text)


def always(folder, code="code") -> Checkpoints:
    return Checkpoints(folder, 1e-9, lambda optimizer: code)


def losses(result):
    return [(step["iteration"], step["loss_train"]) for step in result.history if "loss_train" in step]


@pytest.mark.parametrize("optimizer", contenders())
@pytest.mark.parametrize("warming", [False, True])
def test_a_run_goes_on_to_the_same_bits(optimizer, warming, tmp_path):
    chosen = spec(optimizer=optimizer, layers=4, warm_start="2:10")
    whole = run(chosen, problem())
    first = run(chosen, problem(), [Crash(at=7, warming=warming)], checkpoints=always(tmp_path))
    assert first.row["status"] == "error"
    second = run(chosen, problem(), [(recorder := Recorder())], checkpoints=always(tmp_path))
    assert second.row["status"] == "ok"
    assert second.row["env_continued_from"] == (0 if warming else 6)
    assert second.row["weights_sha256"] == whole.row["weights_sha256"]
    assert losses(second) == losses(whole)
    assert recorder.steps == second.history
    assert second.row["time_train_s"] == pytest.approx(second.row["time_warm_start_s"] + sum(
        step["iteration_seconds"] for step in second.history[1:]
    ))  # fmt: skip
    assert list(tmp_path.iterdir()) == [], "a run that has its result keeps nothing"


def test_a_finished_stage_is_not_trained_again(tmp_path):
    chosen = spec(optimizer="pdadmm", layers=4, warm_start="2:10")
    first = run(chosen, problem(), [Crash(at=0)], checkpoints=always(tmp_path))
    assert first.history == [first.history[0]]
    again = run(chosen, problem(), [(recorder := Recorder())], checkpoints=always(tmp_path))
    assert again.row["time_warm_start_s"] == first.history[0]["train_seconds"]
    assert again.row["env_continued_from"] == 0
    assert recorder.warming == [(2, iteration) for iteration in range(11)], "it is shown all the same"


@pytest.mark.parametrize(("code", "sha256", "named"), [("other", "abc", "code"), ("code", "def", "dataset_sha256")])
def test_a_checkpoint_of_another_run_is_refused_and_kept(code, sha256, named, tmp_path):
    run(spec(), problem(), [Crash(at=7)], checkpoints=always(tmp_path))
    row = run(spec(), replace(problem(), sha256=sha256), checkpoints=always(tmp_path, code)).row
    assert row["status"] == "error"
    assert f"its {named} is " in row["status_reason"]
    assert run(spec(), problem(), checkpoints=always(tmp_path)).row["env_continued_from"] == 6


def test_runs_with_other_settings_have_checkpoints_of_their_own(tmp_path):
    run(spec(), problem(), [Crash(at=7)], checkpoints=always(tmp_path))
    assert run(spec(seed=1), problem(), checkpoints=always(tmp_path)).row["env_continued_from"] is None
    assert run(spec(), problem(), checkpoints=always(tmp_path)).row["env_continued_from"] == 6


@pytest.mark.parametrize("broken", ["torch.save", "write_atomic"])
def test_a_save_that_fails_costs_no_training_and_not_the_checkpoint_before(broken, tmp_path, monkeypatch):
    def full(*arguments):
        raise OSError(28, "No space left on device") if broken == "torch.save" else UserError("disk full")

    class Fill(Crash):
        def stepped(self, step):
            super().stepped(step)
            if step["iteration"] == 4:
                monkeypatch.setattr(torch if broken == "torch.save" else module, broken.split(".")[-1], full)

    first = run(spec(), problem(), [(observer := Fill(at=7))], checkpoints=always(tmp_path))
    assert len([text for text in observer.notices if text.startswith("warning: ")]) == 3  # of iterations 4, 5, 6
    assert len(first.history) == 8
    monkeypatch.undo()
    assert run(spec(), problem(), checkpoints=always(tmp_path)).row["env_continued_from"] == 3


def test_two_processes_do_not_make_one_run(tmp_path):
    class Second(Observer):
        def stepped(self, step):
            if step["iteration"] == 3:
                self.row = run(spec(), problem(), checkpoints=always(tmp_path)).row

    first = run(spec(), problem(), [(second := Second())], checkpoints=always(tmp_path))
    assert second.row["status"] == "error"
    assert "another process is at the run" in second.row["status_reason"]
    assert first.row["status"] == "ok"
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_told_before_training(tmp_path):
    (tmp_path / "file").touch()
    result = run(spec(), problem(), checkpoints=always(tmp_path / "file"))
    assert (result.row["status"], result.history) == ("error", [])
    assert str(tmp_path / "file") in result.row["status_reason"]


@pytest.mark.parametrize("what", ["snapshot", "manifest"])
def test_a_damaged_checkpoint_is_named(what, tmp_path):
    run(spec(), problem(), [Crash(at=7)], checkpoints=always(tmp_path))
    (place,) = tmp_path.iterdir()
    path = place / "6" / "worker-0.pt" if what == "snapshot" else place / "run.json"
    path.write_bytes(path.read_bytes()[:50])
    row = run(spec(), problem(), checkpoints=always(tmp_path)).row
    assert row["status"] == "error"
    assert str(place) in row["status_reason"]


def test_the_time_between_checkpoints_is_kept(tmp_path):
    seldom = Checkpoints(tmp_path, 3600.0, lambda optimizer: "code")
    run(spec(), problem(), [Crash(at=7)], checkpoints=seldom)
    assert list(tmp_path.iterdir()) == []


def test_only_the_last_one_is_kept(tmp_path):
    run(spec(), problem(), [Crash(at=7)], checkpoints=always(tmp_path))
    (place,) = tmp_path.iterdir()
    assert json.loads((place / "run.json").read_text())["iteration"] == 6
    assert [path.name for path in sorted(place.iterdir())] == ["6", "run.json"]
