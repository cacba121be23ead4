"""What the gate is for: faults planted in a copy of the package are caught, and what they do not touch passes.

That the same code passes: test_regress.py.

The gate runs in this process where it can; the benchmarks always run in processes of their own, from the copy.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from shell import Answer, Cli, tiny_suite
from waiting import PATIENCE_S

from pdadmm_bench.data.cache import CACHE_VARIABLE
from pdadmm_bench.gate import measure as gate
from pdadmm_bench.gate import run as gating
from pdadmm_bench.gate.checkout import Checkout

ROOT = Path(__file__).resolve().parents[2]
SUITE = tiny_suite('[[entry]]\noptimizer = ["pdadmm", "sgd"]\nseeds = 2\n', layers=4, iterations=10, init="he")
TIMED = SUITE.replace("sgd", "dladmm")
"""Of methods whose processes start quickly: without what torch's optimizers import."""
WORKERS = SUITE.replace("[[entry]]", "[[entry]]\ngpus = 2").replace('["pdadmm", "sgd"]', '"pdadmm"')

SIGN = (
    "pdadmm_bench/optim/admm/elementwise.py",
    "q_new = sub.q_minimiser(p, u_by_nu.add_(activation), nu, rho, out=u_by_nu)",
    "q_new = sub.q_minimiser(p, u_by_nu.neg_().add_(activation), nu, rho, out=u_by_nu)",
)
EXCHANGE = "pdadmm_bench/parallel/exchange.py"
#: Each message carries a second tensor behind the one that is used.
BOUNDARY = (
    (EXCHANGE, "return torch.empty(self.shape, dtype", "return torch.zeros((2 * self.shape[0], self.shape[1]), dtype"),
    (EXCHANGE, "self.wire.encode(tensor, self._outgoing)", "self.wire.encode(tensor, self._outgoing[: len(tensor)])"),
    (EXCHANGE, "self.wire.decode(payload)", "self.wire.decode(payload[: self.shape[0]])"),
)
SLOWER = """

import time

_step = PdADMM.step


def _slower(self, state):
    start = time.perf_counter()
    _step(self, state)
    end = time.perf_counter()
    while time.perf_counter() < end + 0.15 * (end - start):
        pass


PdADMM.step = _slower
"""


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package and the folders it reads, as a repository with one commit."""
    folder = tmp_path_factory.mktemp("copy")
    leave_out = shutil.ignore_patterns("__pycache__", "images")
    for name in ("pdadmm_bench", "datasets", "runners"):
        shutil.copytree(ROOT / name, folder / name, ignore=leave_out)
    (folder / ".gitignore").write_text("__pycache__/\n")
    (folder / "mine.toml").write_text(TIMED)
    for arguments in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "as it is"]):
        subprocess.run(["git", *arguments], cwd=folder, check=True, env={**os.environ, **AUTHOR})
    return folder


AUTHOR = {f"GIT_{who}_{what}": "a@b" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}

Plant = Callable[..., None]


@pytest.fixture
def plant(copy: Path) -> Plant:
    """``plant((file, text, other), …)`` changes the copy until the end of the test."""
    before: dict[Path, str] = {}

    def change(*faults: tuple[str, str, str]) -> None:
        for name, text, other in faults:
            path = copy / name
            before.setdefault(path, path.read_text())
            now = path.read_text()
            assert now.count(text) == 1, f"{name} has changed: plant the fault elsewhere"
            path.write_text(now.replace(text, other))

    yield change
    for path, text in before.items():
        path.write_text(text)


@pytest.fixture
def head(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The copy is this code."""
    checkout = Checkout("the copy", (copy,), ("pdadmm_bench",))
    monkeypatch.setattr(gating, "HEAD", checkout)
    monkeypatch.setattr(gate, "HEAD", checkout)


def recorded(cli: Cli, text: str) -> None:
    Path("mine.toml").write_text(text)
    answer = cli("baseline", "record", "--suite", "mine.toml", "--no-time")
    assert answer.code == 0, answer.err


def verdict(answer: Answer, name: str) -> str:
    (line,) = [line for line in answer.out.splitlines() if f" {name} " in line]
    return line


@pytest.mark.slow
def test_a_sign_error_in_the_q_update(cli: Cli, head: None, plant: Plant) -> None:
    recorded(cli, SUITE)
    plant(SIGN)
    answer = cli("regress", "--suite", "mine.toml", "--quick")
    assert answer.code == 1, answer
    assert verdict(answer, "pdadmm 4×8 sbm").startswith("worse")
    assert "loss curve" in verdict(answer, "pdadmm 4×8 sbm")
    assert verdict(answer, "sgd 4×8 sbm").startswith("ok")


@pytest.mark.slow
@pytest.mark.dist
def test_an_extra_boundary_tensor(cli: Cli, head: None, plant: Plant) -> None:
    """It changes no number of the training, so nothing but the count of bytes can tell."""
    recorded(cli, WORKERS)
    plant(*BOUNDARY)
    answer = cli("regress", "--suite", "mine.toml", "--quick")
    assert answer.code == 1, answer
    line = verdict(answer, "pdadmm 4×8 sbm 2 workers")
    rows, units = 3 * 20, 8
    sent = 2 * rows * units * 4
    assert line.startswith("worse") and f"{sent:,} → {2 * sent:,} bytes per iteration" in line, line


@pytest.mark.slow
def test_a_slowdown_of_15_percent(copy: Path, plant: Plant, shared_cache: Path, migrated: Path) -> None:
    """Both sides in turn, by the command as a process: this tree, which is slower, against its last commit."""
    shutil.copy(migrated, copy / "mlflow.db")
    path = copy / "pdadmm_bench/optim/admm/pdadmm.py"
    plant(("pdadmm_bench/optim/admm/pdadmm.py", path.read_text(), path.read_text() + SLOWER))
    environment = {**os.environ, CACHE_VARIABLE: str(shared_cache), "PYTHONPATH": str(copy), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-P", "-m", "pdadmm_bench", "regress", "--suite", "mine.toml", "--against", "HEAD"]
    ended = subprocess.run(
        [*command, "--tracking-uri", f"sqlite:///{copy}/mlflow.db", "--junit", "gate.xml", "--markdown", "gate.md"],
        cwd=copy, env=environment, capture_output=True, text=True, timeout=PATIENCE_S,
    )  # fmt: skip
    answer = Answer(ended.returncode, ended.stdout, ended.stderr)
    assert answer.code == 1, answer
    line = verdict(answer, "pdadmm 4×8 sbm")
    assert line.startswith("worse") and "time +" in line and "in turn" in line, answer
    assert verdict(answer, "dladmm 4×8 sbm").startswith("ok"), answer
    assert "**worse** `pdadmm 4×8 sbm`" in (copy / "gate.md").read_text()
    assert 'failures="1"' in (copy / "gate.xml").read_text()
