"""Does the red-black order bring more per iteration? pdADMM with all layers at once, and with every other layer first.

    python tools/studies/red_black.py --dataset photo --split fraction --reduce 256 --hidden 128 --optimizer pdadmm-m

Options are settings of a run on one worker. In the red-black order the output layer and every second layer before it
are updated from the old values of their neighbours, and then the others from the new ones: the same work, and what a
layer knows moves two layers in an iteration instead of one. The pairs have a split and a starting seed of their own,
and are run in turn. Prints the mean of each, and the difference of every pair, red-black less all at once.
"""

from __future__ import annotations

import sys
from statistics import fmean

from denormals import settings_of

from pdadmm_bench.core.rows import Row
from pdadmm_bench.core.spec import run_spec
from pdadmm_bench.data.load import load_problem
from pdadmm_bench.optim.admm import costate
from pdadmm_bench.optim.admm.pdadmm import PdADMM
from pdadmm_bench.optim.admm.products import full_precision
from pdadmm_bench.optim.admm.state import PdADMMState
from pdadmm_bench.runner import run

PAIRS = 2
AT_ONCE = PdADMM.step


def red_black(self: PdADMM, state: PdADMMState) -> None:
    """An iteration of one worker, the layers of one colour after those of the other."""
    layers, last = state.layers, len(state.layers) - 1
    if state.iteration == 0 and self.hyperparameters.start == "costate":
        with full_precision():
            costate.start(state, self.placed)
    for first in (last, last - 1):
        for index in range(first, -1, -2):
            layer = layers[index]
            self.update_p_W(layer, layers[index - 1].variables() if index else [], state)
            if index == last:
                self.update_b_z_output(layer, state)
            else:
                after = layers[index + 1]
                self.update_b_z_q_u(layer, after.p, after.wire, state.next_nu, state.next_rho, state)
    state.rho, state.nu, state.iteration = state.next_rho, state.next_nu, state.iteration + 1


ORDERS = {"all at once": AT_ONCE, "red-black": red_black}
QUANTITIES = {
    "best validation accuracy, %": lambda row: 100 * row["acc_val_best"],
    "test accuracy there, %": lambda row: 100 * row["acc_test_at_best_val"],
    "at iteration": lambda row: float(row["acc_best_iteration"]),
    "training loss at the end": lambda row: row["loss_train_final"],
    "training seconds": lambda row: row["time_train_s"],
}


def measure(settings: dict[str, str | int], order: str, seed: int) -> Row:
    """The row of a run with its layers updated in ``order``."""
    PdADMM.step = ORDERS[order]
    given = {
        "layers": 10,
        "iterations": 100,
        "eval_every": 5,
        "threads": 1,
        "seed": seed,
        "split_seed": seed,
        **settings,
    }
    spec = run_spec(given)
    return run(spec, load_problem(spec.data)).row


def main(words: list[str]) -> None:
    """Measure the runs that the options ``words`` describe."""
    settings = settings_of(words)
    pairs = [{order: measure(settings, order, seed) for order in ORDERS} for seed in range(PAIRS)]
    for name, value in QUANTITIES.items():
        at_once, ordered = ([value(pair[order]) for pair in pairs] for order in ORDERS)
        differences = ", ".join(f"{b - a:+.2f}" for a, b in zip(at_once, ordered, strict=True))
        print(f"{name}: all at once {fmean(at_once):.2f}, red-black {fmean(ordered):.2f} ({differences})")


if __name__ == "__main__":
    main(sys.argv[1:])
