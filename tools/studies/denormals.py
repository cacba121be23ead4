"""What do denormal numbers cost on a CPU? The same run with them and with zeros in their place, in turn.

    python tools/studies/denormals.py --dataset photo --optimizer adagrad --init identity --warm-start none

Options are settings of a run. Prints training seconds of each of three pairs, and the factor.
"""

from __future__ import annotations

import sys
from statistics import median

import torch

from pdadmm_bench.core.spec import run_spec
from pdadmm_bench.data.load import load_problem
from pdadmm_bench.runner import run

PAIRS = 3
MODES = {True: torch.set_flush_denormal, False: lambda mode: False}
"""What a run asks for, and a machine that cannot do it."""


def seconds(settings: dict[str, str | int], flushed: bool) -> tuple[float, float]:
    """Training seconds and best validation accuracy of a run."""
    torch.set_flush_denormal = MODES[flushed]
    spec = run_spec({"layers": 10, "iterations": 200, "eval_every": 50, "threads": 1, **settings})
    row = run(spec, load_problem(spec.data)).row
    return row["time_train_s"], row["acc_val_best"]


def settings_of(words: list[str]) -> dict[str, str | int]:
    """The settings of a run that options such as ``--dataset photo`` give."""
    names = [word.removeprefix("--").replace("-", "_") for word in words[::2]]
    return {name: int(word) if word.isdecimal() else word for name, word in zip(names, words[1::2], strict=True)}


def main(words: list[str]) -> None:
    """Measure the run that the options ``words`` describe."""
    settings = settings_of(words)
    factors = []
    for _ in range(PAIRS):
        (kept, accuracy), (flushed, same) = (seconds(settings, flushed) for flushed in (False, True))
        factors.append(kept / flushed)
        print(f"kept {kept:.2f} s ({accuracy:.3f}), flushed {flushed:.2f} s ({same:.3f}): {factors[-1]:.2f} times")
    print(f"median {median(factors):.2f} times")


if __name__ == "__main__":
    main(sys.argv[1:])
