"""Runs that go on from a checkpoint: to the same bits, told from other runs, and safe from a crash at any moment."""

import json
import os
from pathlib import Path

import pytest
from toy import Crash, Recorder, toy_problem, toy_spec

from pdadmm_bench.optim import contenders
from pdadmm_bench.training.checkpoint import Checkpoints
from pdadmm_bench.training.run import Observer, run


def always(folder, code="code") -> Checkpoints:
    return Checkpoints(folder, 1e-9, lambda optimizer: code)


def losses(result):
    return [(step["iteration"], step["loss_train"]) for step in result.history if "loss_train" in step]


@pytest.mark.parametrize("optimizer", contenders())
@pytest.mark.parametrize("warming", [False, True])
def test_a_run_goes_on_to_the_same_bits(optimizer, warming, tmp_path):
    chosen = toy_spec(optimizer=optimizer, layers=4, warm_start="2:10")
    whole = run(chosen, toy_problem())
    first = run(chosen, toy_problem(), [Crash(at=7, in_warm_start=warming)], checkpoints=always(tmp_path))
    assert first.row["status"] == "error"
    second = run(chosen, toy_problem(), [(recorder := Recorder())], checkpoints=always(tmp_path))
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
    chosen = toy_spec(optimizer="pdadmm", layers=4, warm_start="2:10")
    first = run(chosen, toy_problem(), [Crash(at=0)], checkpoints=always(tmp_path))
    assert first.history == [first.history[0]]
    again = run(chosen, toy_problem(), [(recorder := Recorder())], checkpoints=always(tmp_path))
    assert again.row["time_warm_start_s"] == first.history[0]["train_seconds"]
    assert again.row["env_continued_from"] == 0
    assert recorder.warm_start_steps == [(2, iteration) for iteration in range(11)], "it is shown all the same"


@pytest.mark.parametrize(("code", "sha256", "named"), [("other", "", "code"), ("code", "other", "dataset_sha256")])
def test_a_checkpoint_of_another_run_is_refused_and_kept(code, sha256, named, tmp_path):
    run(toy_spec(), toy_problem(), [Crash(at=7)], checkpoints=always(tmp_path))
    row = run(toy_spec(), toy_problem(sha256=sha256), checkpoints=always(tmp_path, code)).row
    assert row["status"] == "error"
    assert f"its {named} is " in row["status_reason"]
    assert run(toy_spec(), toy_problem(), checkpoints=always(tmp_path)).row["env_continued_from"] == 6


def test_runs_with_other_settings_have_checkpoints_of_their_own(tmp_path):
    run(toy_spec(), toy_problem(), [Crash(at=7)], checkpoints=always(tmp_path))
    assert run(toy_spec(seed=1), toy_problem(), checkpoints=always(tmp_path)).row["env_continued_from"] is None
    assert run(toy_spec(), toy_problem(), checkpoints=always(tmp_path)).row["env_continued_from"] == 6


@pytest.mark.parametrize("broken", ["worker-0.pt", ".run.json."])
def test_a_save_that_fails_costs_no_training_and_not_the_checkpoint_before(broken, tmp_path, monkeypatch):
    """The disk is full when the snapshot is written, or when the manifest is."""

    def full(handle):
        if broken in Path(f"/proc/self/fd/{handle}").readlink().name:
            raise OSError(28, "No space left on device")

    class Fill(Crash):
        def stepped(self, step):
            super().stepped(step)
            if step["iteration"] == 4:
                monkeypatch.setattr(os, "fsync", full)

    first = run(toy_spec(), toy_problem(), [(observer := Fill(at=7))], checkpoints=always(tmp_path))
    warnings = [text for text in observer.messages if text.startswith("warning: ")]
    assert len(warnings) == 3  # of iterations 4, 5, 6
    assert all("No space left on device" in text for text in warnings)
    assert len(first.history) == 8
    monkeypatch.undo()
    assert run(toy_spec(), toy_problem(), checkpoints=always(tmp_path)).row["env_continued_from"] == 3


def test_two_processes_do_not_make_one_run(tmp_path):
    class Second(Observer):
        def stepped(self, step):
            if step["iteration"] == 3:
                self.row = run(toy_spec(), toy_problem(), checkpoints=always(tmp_path)).row

    first = run(toy_spec(), toy_problem(), [(second := Second())], checkpoints=always(tmp_path))
    assert second.row["status"] == "error"
    assert "another process is at the run" in second.row["status_reason"]
    assert first.row["status"] == "ok"
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_told_before_training(tmp_path):
    (tmp_path / "file").touch()
    result = run(toy_spec(), toy_problem(), checkpoints=always(tmp_path / "file"))
    assert (result.row["status"], result.history) == ("error", [])
    assert str(tmp_path / "file") in result.row["status_reason"]


@pytest.mark.parametrize("what", ["snapshot", "manifest"])
def test_a_damaged_checkpoint_is_named(what, tmp_path):
    run(toy_spec(), toy_problem(), [Crash(at=7)], checkpoints=always(tmp_path))
    (place,) = tmp_path.iterdir()
    path = place / "6" / "worker-0.pt" if what == "snapshot" else place / "run.json"
    path.write_bytes(path.read_bytes()[:50])
    row = run(toy_spec(), toy_problem(), checkpoints=always(tmp_path)).row
    assert row["status"] == "error"
    assert str(place) in row["status_reason"]


def test_the_time_between_checkpoints_is_kept(tmp_path):
    seldom = Checkpoints(tmp_path, 3600.0, lambda optimizer: "code")
    run(toy_spec(), toy_problem(), [Crash(at=7)], checkpoints=seldom)
    assert list(tmp_path.iterdir()) == []


def test_only_the_last_one_is_kept(tmp_path):
    run(toy_spec(), toy_problem(), [Crash(at=7)], checkpoints=always(tmp_path))
    (place,) = tmp_path.iterdir()
    assert json.loads((place / "run.json").read_text())["iteration"] == 6
    assert [path.name for path in sorted(place.iterdir())] == ["6", "run.json"]
