"""The self-test: its record, its time limits, and a sample of its checks on the CPU."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import typer
from selftest_checks import fine, wrong

from pdadmm_bench.cli.verbs.selftest import selftest as verb
from pdadmm_bench.core import selftests
from pdadmm_bench.core.errors import UserError
from pdadmm_bench.selftest import several
from pdadmm_bench.selftest.catalogue import checks_for
from pdadmm_bench.selftest.check import Check, Skipped
from pdadmm_bench.selftest.diagnoses import diagnoses
from pdadmm_bench.selftest.run import selftest
from pdadmm_bench.training.row import known_values
from pdadmm_bench.training.worker import join

SUPPORT = Path(__file__).parents[1] / "support"
SAMPLE = ("environment", "agrees pdadmm fp32", "repeats adam", "continues pdadmm-q", "never waits sgd", "runs out")


CHECKS = [
    Check("first", fine), Check("hang", wrong, {"how": "hang"}, limit_s=0.5), Check("second", fine),
    *(Check(how, wrong, {"how": how}) for how in ("fail", "skip", "break", "die")), Check("last", fine),
]  # fmt: skip
VERDICTS = {"first": "ok", "hang": "timeout", "second": "ok", "fail": "fail", "skip": "skip", "break": "fail",
            "die": "fail", "last": "ok"}  # fmt: skip


@pytest.fixture
def importable(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """The checks of this file can be imported in another process."""
    paths = [str(SUPPORT), *filter(None, [os.environ.get("PYTHONPATH")])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))


@pytest.mark.usefixtures("importable")
@pytest.mark.slow
def test_every_check_has_a_verdict_whatever_it_does_and_what_passed_is_not_made_again(tmp_path: Path) -> None:
    record, lines = tmp_path / "deep" / "record.jsonl", []
    last = selftest(CHECKS, "cpu", record, False, lines.append)
    assert {line["check"]: line["verdict"] for line in lines} == VERDICTS
    assert (last["verdict"], last["failed"]) == ("fail", ["hang", "fail", "break", "die"])
    processes = [line["values"]["process"] for line in lines if line["verdict"] == "ok"]
    assert len(set(processes)) == 3  # one for each that ended or hung, and the first
    assert "SIGKILL" in next(line["reason"] for line in lines if line["check"] == "die")
    assert selftests.read(record)[1:-1] == lines

    again: list[dict[str, Any]] = []
    good = [check for check in CHECKS if VERDICTS[check.name] in ("ok", "skip")]
    assert selftest(good, "cpu", record, False, again.append)["verdict"] == "ok"
    assert again == []
    assert selftests.passed_version(tmp_path, "cpu") is None  # it is not where the program keeps its record
    head, *rest = record.read_text().splitlines()
    record.write_text("\n".join([json.dumps({**json.loads(head), "env_torch": "1.0"}), *rest]))
    selftest(good[:1], "cpu", record, False, again.append)
    assert [line["check"] for line in again] == ["first"]  # under another torch it has not passed


@pytest.mark.parametrize(("lines", "mark", "state"), [
    ([], "warn", "version 1 has not been made here"),
    ([{"selftest": 1}, {"check": "x", "verdict": "ok"}], "warn", "version 1 has not been made here"),
    ([{"selftest": 0}, {"verdict": "ok", "finished": "2026"}], "warn", "version 1 has not been made here"),
    ([{"selftest": 1}, {"verdict": "fail", "failed": ["a", "b"], "finished": "2026-11-28T20"}], "warn",
     "failed on 2026-11-28: a, b"),
    ([{"selftest": 1}, {"verdict": "ok", "ok": 4, "skip": 2, "finished": "2026-11-28T20"}], "ok",
     "version 1 passed on 2026-11-28 (4 checks, 2 skipped)"),
])  # fmt: skip
def test_doctor_says_when_it_passed(lines: list[dict[str, Any]], mark: str, state: str, tmp_path: Path) -> None:
    file = selftests.record_file(tmp_path, "cpu")
    file.parent.mkdir()
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    (found,) = [each for each in diagnoses(None, None, tmp_path) if each.subject == "self-test cpu"]
    assert (found.mark, found.state) == (mark, state)
    assert bool(found.remedy) == (mark != "ok")


def test_the_row_of_a_gpu_names_the_self_test(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    from toy import toy_problem, toy_spec

    from pdadmm_bench.parallel.group import Group

    worker = join(toy_spec(), toy_problem(), Group())
    monkeypatch.setenv("PDADMM_BENCH_CACHE", str(tmp_path))
    on_gpu = replace(worker.resolved, device=torch.device("cuda"))
    assert "env_selftest" not in known_values(worker.resolved, worker.problem)
    assert known_values(on_gpu, worker.problem)["env_selftest"] is None
    file = selftests.record_file(tmp_path, "cuda")
    file.parent.mkdir()
    file.write_text('{"selftest": 1}\n{"verdict": "ok", "finished": "2026-11-28T20:00:00"}\n')
    assert known_values(on_gpu, worker.problem)["env_selftest"] == "1, passed 2026-11-28"


@pytest.mark.slow
def test_a_sample_of_it_on_the_cpu(capsys: pytest.CaptureFixture[str]) -> None:
    verb(device="cpu", only=list(SAMPLE))
    said = capsys.readouterr()
    *lines, last = map(json.loads, said.out.splitlines())
    verdicts = {line["check"]: line["verdict"] for line in lines}
    assert last["verdict"] == "ok"
    assert verdicts.pop("never waits sgd") == "skip"
    assert set(verdicts.values()) == {"ok"}
    assert len(verdicts) == 5
    assert "✓ repeats adam (" in said.err


def test_names_that_do_not_exist() -> None:
    with pytest.raises(UserError, match="unknown device 'tpu'"):
        verb(device="tpu")
    with pytest.raises(UserError, match="unknown check 'nothing'"):
        verb(device="cpu", only=["nothing"])


def test_a_failed_check_is_exit_code_1(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("pdadmm_bench.selftest.catalogue.checks_for", lambda kind: [Check("x", fine)])
    failed = {"verdict": "fail", "failed": ["x"]}
    monkeypatch.setattr("pdadmm_bench.selftest.run.selftest", lambda *args: failed)
    with pytest.raises(typer.Exit) as end:
        verb(device="cpu", cache=tmp_path)
    assert end.value.exit_code == 1


@pytest.mark.dist
def test_a_worker_that_sleeps_is_seen() -> None:
    assert several.see_a_sleeper("cpu")["exposed_s"] > several.SLEEP_S / 2


@pytest.mark.dist
def test_four_devices_with_rows_and_zero_bubble_agree_with_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """On the CPU, and the newer layouts only."""
    chosen = {name: values for name, values in several.SPECS.items() if name.endswith((" rows", " zero-bubble"))}
    monkeypatch.setattr(several, "SPECS", chosen)
    monkeypatch.setattr("pdadmm_bench.selftest.check.devices", lambda kind: 4)
    values = several.agree_with_one("cpu")
    assert values.keys() == {"workers", "adam zero-bubble", "adam rows", "pdadmm rows", "adam 2×2", "pdadmm 2×2"}
    assert values["workers"] == 4


@pytest.mark.gpu
@pytest.mark.slow
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("check", checks_for("cuda"), ids=lambda check: check.name)
def test_all_of_it_on_a_device(check: Check) -> None:
    try:
        check.function("cuda", **check.arguments)
    except Skipped as reason:
        pytest.skip(str(reason))
