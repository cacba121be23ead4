"""Does the red-black order bring more per iteration? pdADMM with all layers at once, and with every other layer first.

    python tools/studies/red_black.py red-black.json

In the red-black order the output layer and every second layer before it are updated from the old values of their
neighbours, and then the others from the new ones: the same work on one worker, and what a layer knows moves two layers
in an iteration instead of one. Two pairs of each case, with a split and a starting seed of their own, run in turn.
"""

from __future__ import annotations

import sys
from typing import Any

from kept import keep

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
PHOTO = {"dataset": "photo", "split": "fraction", "reduce": 256, "hidden": 128}
ALONE = {"warm_start": "none"}
CASES: dict[str, dict[str, Any]] = {
    "`pdadmm-m`, two layers first": {**PHOTO, "optimizer": "pdadmm-m"},
    "`pdadmm-m`, identity": {**PHOTO, **ALONE, "optimizer": "pdadmm-m", "init": "identity"},
    "`pdadmm-m`, he": {**PHOTO, **ALONE, "optimizer": "pdadmm-m", "init": "he"},
    "`pdadmm`, he": {**PHOTO, **ALONE, "optimizer": "pdadmm", "init": "he"},
    "`pdadmm-m`, task that needs depth": {
        "dataset": "depth[levels=4]", "hops": 0, "hidden": 64, "optimizer": "pdadmm-m", "iterations": 150,
    },
}  # fmt: skip
KEPT = ("acc_val_best", "acc_test_at_best_val", "acc_best_iteration", "loss_train_final", "time_train_s")


def measure(settings: dict[str, Any], order: str, seed: int) -> dict[str, Any]:
    """What came of a run with its layers updated in ``order``."""
    PdADMM.step = ORDERS[order]
    common = {"layers": 10, "iterations": 100, "eval_every": 5, "threads": 1, "seed": seed, "split_seed": seed}
    spec = run_spec({**common, **settings})
    row = run(spec, load_problem(spec.data)).row
    return {"order": order, "seed": seed, **{name: row[name] for name in KEPT}}


def main(path: str) -> None:
    """Measure every case."""
    rows = []
    for case, settings in CASES.items():
        for seed in range(PAIRS):
            for order in ORDERS:
                rows.append({"case": case, **measure(settings, order, seed)})
                print(rows[-1], flush=True)
                keep(path, rows)


if __name__ == "__main__":
    main(sys.argv[1])
