"""Damaged checkpoints: a run refuses each of them before it trains, or goes on to the same bits."""

from __future__ import annotations

import multiprocessing
import random
import shutil
import tempfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

from torture import Case

OPTIMIZERS = ("pdadmm", "pdadmm-q", "dladmm", "sgd", "adam", "adagrad", "adadelta")
FILES = ("worker-0.pt", "run.json")
OTHERS = ["", "[]", "{}", "null", "[" * 100_000, "1" * 5000, '{"sha256": 1}', "\0" * 100, "PK\x03\x04"]


def cases(seed: int) -> Iterator[Case]:
    """For every optimizer: bits flipped over the whole length of each file, cuts, other files, files of other runs."""
    chance = random.Random(f"checkpoints {seed}")
    for optimizer in OPTIMIZERS:
        for name in FILES:
            for number in range(20):
                yield _case(optimizer, f"{name}: flip {number}", name, "flip", (chance.random(), chance.randrange(8)))
            for share in (0.0, 0.25, 0.5, 0.75, 0.999):
                yield _case(optimizer, f"{name}: cut at {share:.0%}", name, "cut", share)
            for number, text in enumerate(OTHERS):
                yield _case(optimizer, f"{name}: text {number}", name, "text", text)
            yield _case(optimizer, f"{name}: gone", name, "gone", None)
            yield _case(optimizer, f"{name}: of another seed", name, "foreign", 1)
            yield _case(optimizer, f"{name}: zeros", name, "zeros", None)


def _case(optimizer: str, name: str, file: str, how: str, what: Any) -> Case:
    def attempt(folder: Path) -> str | None:
        return _pool().apply(_tried, (optimizer, file, how, what, str(folder)))

    return Case("checkpoints", f"{optimizer}: {name}", attempt)


@cache
def _pool() -> Any:
    """One process that has torch, which this one must not import."""
    return multiprocessing.get_context("spawn").Pool(1)


def _tried(optimizer: str, file: str, how: str, what: Any, folder: str) -> str | None:
    saved, weights = _saved(optimizer, 0)
    shutil.copytree(saved, Path(folder) / "checkpoints")
    (place,) = (Path(folder) / "checkpoints").iterdir()
    (path,) = place.rglob(file)
    content = path.read_bytes()
    if how == "gone":
        path.unlink()
    elif how == "foreign":
        (other,) = _saved(optimizer, what)[0].rglob(file)
        path.write_bytes(other.read_bytes())
    else:
        path.write_bytes(_changes(content)[how](what))
    row, history = _run(optimizer, 0, Path(folder) / "checkpoints")
    reason = row["status_reason"] or ""
    if row["status"] == "error":
        if history:
            return f"it was refused only after {len(history)} steps"
        if "to begin anew" not in reason:
            return f"it does not say how to begin anew: {reason}"
        if "weights_only" in reason:
            return f"it advises to switch safety off: {reason}"
        return None
    if row["weights_sha256"] != weights:
        return "a run went on from it to other weights"
    return None


def _changes(content: bytes) -> dict[str, Callable[[Any], bytes]]:
    def flip(what: tuple[float, int]) -> bytes:
        changed = bytearray(content)
        changed[int(what[0] * len(content))] ^= 1 << what[1]
        return bytes(changed)

    return {
        "flip": flip,
        "cut": lambda share: content[: int(share * len(content))],
        "text": lambda text: text.encode("latin-1"),
        "zeros": lambda _: bytes(len(content)),
    }


@cache
def _saved(optimizer: str, seed: int) -> tuple[Path, str]:
    """The checkpoint of a run that crashed in the middle, and the weights of the same run that did not."""
    folder = Path(tempfile.mkdtemp())
    row, _ = _run(optimizer, seed, folder / "checkpoints", crash=True)
    assert row["status"] == "error", row["status_reason"]
    whole, _ = _run(optimizer, seed, None)
    return folder / "checkpoints", whole["weights_sha256"]


def _run(optimizer: str, seed: int, folder: Path | None, crash: bool = False) -> tuple[dict[str, Any], list[Any]]:
    from pdadmm_bench.core.spec import run_spec
    from pdadmm_bench.training.checkpoint import Checkpoints
    from pdadmm_bench.training.run import Observer, run

    class Crash(Observer):
        def stepped(self, step: Any) -> None:
            if step["iteration"] == 4:
                raise RuntimeError("crash")

    spec = run_spec({
        "dataset": "sbm[nodes=120,classes=3,features=6]", "num_val": 20, "num_test": 20, "hops": 1, "layers": 3,
        "hidden": 6, "iterations": 6, "warm_start": "none", "optimizer": optimizer, "seed": seed, "threads": 1,
        "device": "cpu", "deterministic": True,
    })  # fmt: skip
    checkpoints = Checkpoints(folder, 1e-9, lambda name: "code") if folder else None
    result = run(spec, _problem(spec.data), [Crash()] if crash else [], checkpoints=checkpoints)
    return result.row, result.history


@cache
def _problem(data: Any) -> Any:
    from pdadmm_bench.data.load import load_problem

    return load_problem(data, cache=Path(tempfile.mkdtemp()), offline=True, report=lambda line: None)
