"""The list of all checks for a kind of device, in the order in which they are made."""

from __future__ import annotations

from pdadmm_bench.optim import REFERENCE, registry
from pdadmm_bench.selftest import one_device, several
from pdadmm_bench.selftest.check import Check

PRECISIONS = {"cuda": ("fp32", "tf32", "bf16"), "cpu": ("fp32", "bf16")}
MODES = {"cuda": ("eager", "compiled", "graph"), "cpu": ("eager",)}
"""On a CPU nothing is compiled here: that takes longer than all other checks, and the tests do it."""
SHAPES = {
    "cuda": ((60, 2_500, 3, 10, 256), (18_000, 2_500, 3, 10, 256), (90_941, 640, 40, 10, 256)),
    "cpu": ((60, 2_500, 3, 10, 256),),
}
"""Rows, features, classes, layers, units. Those for CUDA are of PubMed, of a middle size, and of ogbn-arxiv."""
WORKERS = {"cuda": 4, "cpu": 2}


def checks_for(device: str) -> list[Check]:
    """Every check; what cannot be made here says so when it is tried."""
    optimizers = [name for name in registry.names() if name != REFERENCE]
    found = [Check("environment", one_device.about)]
    for optimizer in optimizers:
        for precision in PRECISIONS[device]:
            for mode in MODES[device]:
                values = {"optimizer": optimizer, "precision": precision, "mode": mode}
                found.append(Check(f"agrees {optimizer} {precision} {mode}", one_device.agrees, values))
    each = {
        "never waits": one_device.never_waits, "replays": one_device.replays,
        "repeats": one_device.repeats, "continues": one_device.continues,
    }  # fmt: skip
    for name, function in each.items():
        found += [Check(f"{name} {optimizer}", function, {"optimizer": optimizer}) for optimizer in optimizers]
    for rows, features, classes, layers, hidden in SHAPES[device]:
        shape = {"rows": rows, "features": features, "classes": classes, "layers": layers, "hidden": hidden}
        found.append(Check(f"measures {rows}x{features}", one_device.measures, shape))
    found.append(Check("runs out of memory", one_device.runs_out_of_memory))
    found.append(Check("agree with one", several.agree_with_one))
    found.append(Check("see a sleeper", several.see_a_sleeper))
    found.append(Check("measure the link", several.measure_the_link))
    found.append(Check("receive early", several.receive_early))
    found += [
        Check(f"name the culprit {fault}", several.name_the_culprit, {"fault": fault}) for fault in several.FAULTS
    ]
    found.append(Check("scale", several.scale, {"most": WORKERS[device]}))
    return found
