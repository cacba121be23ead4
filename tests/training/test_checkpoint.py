"""Runs that go on from a checkpoint: to the same bits, told from other runs, and safe from a crash at any moment."""

import hashlib
import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from toy import Crash, Recorder, toy_problem, toy_spec

from pdadmm_bench.optim import contenders
from pdadmm_bench.training.checkpoint import Checkpoints
from pdadmm_bench.training.run import Observer, run


def at_once(name, names):
    """The marks of a parameter that the quick tests have only where it is one of ``names``."""
    return [] if name in names else [pytest.mark.slow]


def always(folder, code="code") -> Checkpoints:
    return Checkpoints(folder, 1e-9, lambda optimizer: code)


def losses(result):
    return [(step["iteration"], step["loss_train"]) for step in result.history if "loss_train" in step]


@pytest.mark.parametrize(
    ("optimizer", "warming"),
    [
        *(
            pytest.param(name, False, marks=at_once(name, {"pdadmm", "adam"}))
            for name in (*contenders(), "pdadmm-c", "pdadmm-m")
        ),
        # What an optimizer keeps is the same in a warm start: one of each kind is enough there.
        *(pytest.param(name, True, marks=pytest.mark.slow) for name in ("pdadmm", "adam")),
    ],
)
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


@pytest.mark.slow
def test_a_finished_stage_is_not_trained_again(tmp_path):
    chosen = toy_spec(optimizer="pdadmm", layers=4, warm_start="2:10")
    first = run(chosen, toy_problem(), [Crash(at=0)], checkpoints=always(tmp_path))
    assert first.history == [first.history[0]]
    again = run(chosen, toy_problem(), [(recorder := Recorder())], checkpoints=always(tmp_path))
    assert again.row["time_warm_start_s"] == first.history[0]["train_seconds"]
    assert again.row["env_continued_from"] == 0
    assert recorder.warm_start_steps == [(2, iteration) for iteration in range(11)], "it is shown all the same"


@pytest.mark.parametrize(("code", "seed", "named"), [("other", 0, "code"), ("code", 1, "dataset_sha256")])
@pytest.mark.slow
def test_a_checkpoint_of_another_run_is_refused_and_kept(code, seed, named, tmp_path):
    run(toy_spec(), toy_problem(), [Crash(at=7)], checkpoints=always(tmp_path))
    row = run(toy_spec(), toy_problem(seed=seed), checkpoints=always(tmp_path, code)).row
    assert row["status"] == "error"
    assert f"its {named} is " in row["status_reason"]
    assert run(toy_spec(), toy_problem(), checkpoints=always(tmp_path)).row["env_continued_from"] == 6


@pytest.mark.slow
def test_runs_with_other_settings_have_checkpoints_of_their_own(tmp_path):
    run(toy_spec(), toy_problem(), [Crash(at=7)], checkpoints=always(tmp_path))
    assert run(toy_spec(seed=1), toy_problem(), checkpoints=always(tmp_path)).row["env_continued_from"] is None
    assert run(toy_spec(), toy_problem(), checkpoints=always(tmp_path)).row["env_continued_from"] == 6


@pytest.mark.parametrize("broken", ["worker-0.pt", ".run.json."])
@pytest.mark.slow
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


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Path:
    """The checkpoint of a run that crashed after iteration 6; tests damage a copy of it."""
    folder = tmp_path_factory.mktemp("saved")
    run(toy_spec(), toy_problem(), [Crash(at=7)], checkpoints=always(folder))
    return folder


def refusal(folder: Path) -> str:
    """What the next run says that finds the checkpoint in ``folder``; it makes no iteration."""
    result = run(toy_spec(), toy_problem(), checkpoints=always(folder))
    assert (result.row["status"], result.history) == ("error", [])
    (place,) = folder.iterdir()
    reason = result.row["status_reason"]
    assert reason.startswith(f"the checkpoint in {place} cannot be used (")
    assert reason.endswith(f"; remove {place} to begin anew")
    assert "weights_only" not in reason and "\n" not in reason
    return reason


def damage(saved: Path, name: str, change: Callable[[bytes], bytes], folder: Path) -> Path:
    """A copy of the checkpoint with the bytes of one of its files changed."""
    shutil.copytree(saved, folder)
    (place,) = folder.iterdir()
    (place / name).write_bytes(change((place / name).read_bytes()))
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("name", ["6/worker-0.pt", "run.json"])
def test_no_run_goes_on_from_a_checkpoint_with_a_changed_bit(name, saved, tmp_path):
    """Bits over the whole length of the file: torch reads most of the changed snapshots without complaint."""
    size = (next(saved.iterdir()) / name).stat().st_size
    chance = random.Random(20)
    for place in sorted(chance.sample(range(size), 8)):
        flipped = 1 << chance.randrange(8)

        def flip(content: bytes, place: int = place, flipped: int = flipped) -> bytes:
            return content[:place] + bytes([content[place] ^ flipped]) + content[place + 1 :]

        said = refusal(damage(saved, name, flip, tmp_path / str(place)))
        assert name in said, (place, flipped)


@pytest.mark.parametrize("name", ["6/worker-0.pt", "run.json"])
@pytest.mark.parametrize("share", [0, 0.5, 0.99])
@pytest.mark.slow
def test_a_checkpoint_that_breaks_off_is_named(name, share, saved, tmp_path):
    assert name in refusal(damage(saved, name, lambda it: it[: int(len(it) * share)], tmp_path / "folder"))


@pytest.mark.parametrize("text", ["", "[]", "{}", "null", "[" * 100_000, "1" * 5000, '{"sha256": 1}', "\xff"])
@pytest.mark.slow
def test_a_manifest_of_something_else_is_named(text, saved, tmp_path):
    refusal(damage(saved, "run.json", lambda it: text.encode("latin-1"), tmp_path / "folder"))


@pytest.mark.slow
def test_the_snapshot_of_another_run_is_named(saved, tmp_path):
    run(toy_spec(seed=1), toy_problem(), [Crash(at=7)], checkpoints=always(tmp_path / "other"))
    (other,) = (tmp_path / "other").iterdir()
    foreign = (other / "6" / "worker-0.pt").read_bytes()
    assert "checksum" in refusal(damage(saved, "6/worker-0.pt", lambda it: foreign, tmp_path / "folder"))


def resealed(change: Callable[[dict[str, Any]], object]) -> Callable[[bytes], bytes]:
    """``run.json`` with other content and a checksum that agrees with it, as somebody would write it on purpose."""

    def write(text: bytes) -> bytes:
        content = json.loads(text)
        del content["sha256"]
        change(content)
        content["sha256"] = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
        return json.dumps(content).encode()

    return write


@pytest.mark.parametrize("iteration", ["../../6", "6", 6.0, -1, True, None])
def test_an_iteration_is_a_number_and_no_path(iteration, saved, tmp_path):
    change = resealed(lambda content: content.update(iteration=iteration))
    assert "names no iteration" in refusal(damage(saved, "run.json", change, tmp_path / "folder"))


def test_the_checkpoint_of_more_workers_is_named(saved, tmp_path):
    change = resealed(lambda content: content["files"].update({"worker-1.pt": "0" * 64}))
    assert "not of 1 workers" in refusal(damage(saved, "run.json", change, tmp_path / "folder"))


def test_tensors_of_another_network_are_named(saved, tmp_path):
    folder = tmp_path / "folder"
    shutil.copytree(saved, folder)
    (place,) = folder.iterdir()
    torch.save({"something": torch.ones(2)}, place / "6" / "worker-0.pt")
    digest = hashlib.sha256((place / "6" / "worker-0.pt").read_bytes()).hexdigest()
    change = resealed(lambda content: content["files"].update({"worker-0.pt": digest}))
    (place / "run.json").write_bytes(change((place / "run.json").read_bytes()))
    reason = run(toy_spec(), toy_problem(), checkpoints=always(folder)).row["status_reason"]
    assert "not those of this optimizer" in reason and f"remove {place} to begin anew" in reason


def test_the_time_between_checkpoints_is_kept(tmp_path):
    seldom = Checkpoints(tmp_path, 3600.0, lambda optimizer: "code")
    run(toy_spec(), toy_problem(), [Crash(at=7)], checkpoints=seldom)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_only_the_last_one_is_kept(tmp_path):
    run(toy_spec(), toy_problem(), [Crash(at=7)], checkpoints=always(tmp_path))
    (place,) = tmp_path.iterdir()
    assert json.loads((place / "run.json").read_text())["iteration"] == 6
    assert [path.name for path in sorted(place.iterdir())] == ["6", "run.json"]
