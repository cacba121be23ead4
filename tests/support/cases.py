"""What the crew runs, in one go."""

from __future__ import annotations

from typing import Any

from crew import Case, compositions, settings

SCHEDULED = {"rho": 0.05, "rho_schedule": "authors"}
ROW_UNIT = {"step": "row-unit", "bias": "projected", "start": "costate"}
EXACT = {**ROW_UNIT, "step": "exact"}


def admm(optimizer: str, blocks: tuple[int, ...], iterations: int, wire: str = "auto", **values: object) -> Case:
    return Case(
        settings(
            optimizer=optimizer, layers=sum(blocks), hidden=10, iterations=iterations, wire=wire, gpus=len(blocks),
            partition=",".join(map(str, blocks)), **values,
        ),
        "pubmed" if iterations >= 25 else "toy",
    )  # fmt: skip


def name_of(case: Case) -> str:
    spec = case.spec
    return " ".join((spec.optimizer, spec.wire, spec.partition, *(f"{key}={value}" for key, value in spec.set.items())))


# Every partition of a network into blocks: five layers are enough for a block of one layer, and of more, at each place.
EVERY = [admm("pdadmm", blocks, 4, eval_every=2) for workers in (2, 3, 4) for blocks in compositions(5, workers)]
OTHERS = [
    admm("dladmm", (3, 4), 5),
    admm("dladmm", (1, 5, 1), 5),
    admm("dladmm", (2, 1, 1, 3), 5),
    admm("pdadmm", (1, 6), 5, "bf16"),
    admm("pdadmm", (2, 2, 1, 2), 5, "bf16"),
    admm("pdadmm", (2, 5), 20, set=SCHEDULED),
    admm("pdadmm", (2, 5), 20, set={**SCHEDULED, "rho_schedule": "constant"}),
    admm("pdadmm", (4, 3), 5, "fp32", eval_every=3),
    admm("pdadmm-q", (1, 6), 5),
    admm("pdadmm-q", (1, 1, 1, 4), 5),
    admm("pdadmm-q", (5, 1, 1), 5, set={"levels": 1000, "low": -2, "high": 2}),
    admm("pdadmm-q", (5, 2), 5, set={"quantize": "q", "high": 5}),
    admm("pdadmm", (3, 1, 3), 5, set={"decay": "identity"}, warm_start="2:3,4:2"),
    admm("dladmm", (4, 3), 5, set={"mu": 0.5}, warm_start="3:4"),
    admm("pdadmm", (2, 2, 1, 2), 5, set=ROW_UNIT),
    admm("pdadmm", (1, 3, 3), 5, "bf16", set=ROW_UNIT),
    admm("pdadmm", (3, 4), 5, set=EXACT),
    admm("pdadmm", (1, 1, 5), 5, "bf16", set=EXACT, precision="bf16"),
    admm("pdadmm-q", (3, 1, 3), 5, set=EXACT),
    admm("pdadmm-q", (4, 3), 5, set={**ROW_UNIT, "quantize": "q", "high": 5}),
    admm("pdadmm-m", (2, 1, 1, 3), 5),
    admm(
        "pdadmm-m", (3, 4), 5, "bf16", set={"decay": "identity", "bias": "update", "step": "row-unit"}, warm_start="2:3"
    ),
    admm("pdadmm-c", (3, 4), 5, set={"momentum": 0.5}, init="he"),
    admm("pdadmm-c", (1, 2, 1, 3), 5, set={"decay": "identity", "mu": 0.1}, warm_start="2:3"),
    admm("pdadmm-c", (2, 1, 1, 3), 5, set={"blocks": 7}),
    admm("pdadmm-c", (2, 3, 2), 5, set={"blocks": 3, "momentum": 0.5, "decay": "identity", "mu": 0.1}, init="he"),
    admm("dladmm", (3, 4), 5, set={"step": "row-unit", "bias": "projected"}),
    admm("dladmm", (2, 3, 2), 5, set={"step": "exact", "bias": "projected"}),
    admm("pdadmm", (4, 3), 5, set={**EXACT, "step": "exact-W"}),
]
# With delayed gradients: a worker has whole blocks of the method.
DELAYED = [
    admm("ddg", (2, 5), 8, init="he", set={"blocks": 4, "lr": 0.01}),
    admm("ddg", (1, 1, 1, 4), 10, "bf16", init="he", set={"blocks": 7, "inner": "sgd", "momentum": 0.5, "lr": 0.1}),
    admm("fdg", (4, 2, 1), 8, init="he", set={"blocks": 4, "lr": 0.01}),
    admm("fdg", (2, 1, 1, 3), 12, "bf16", init="he", set={"blocks": 7, "lr": 0.01}, warm_start="2:3"),
]
REAL = [
    admm("pdadmm", (3, 4), 25, eval_every=5),
    admm("pdadmm", (1, 2, 1, 3), 25, eval_every=5),
    admm("pdadmm", (6, 1), 25, "bf16", eval_every=5),
    admm("pdadmm-q", (2, 2, 3), 25, eval_every=5),
    admm("dladmm", (3, 4), 25, eval_every=5),
]
# Equal layers: as wide as the features and the classes of the problem.
EQUAL = Case(settings(optimizer="pdadmm", layers=16, hidden=24, iterations=2, gpus=2, partition="even"), "square")

# Without --deterministic one worker batches five inner layers and two workers three and none.
BATCHED = Case(
    settings(optimizer="pdadmm", layers=7, hidden=10, iterations=6, gpus=2, partition="5,2", deterministic=False),
    "toy",
)

RATES = {"sgd": 0.1, "adam": 0.005, "adagrad": 0.02, "adadelta": 0.5}


def gradient(
    optimizer: str, schedule: str, workers: int, microbatches: int | None, iterations: int = 50, precision: str = "fp32"
) -> Case:
    return Case(
        settings(
            optimizer=optimizer, layers=5, hidden=10, init="he", iterations=iterations, eval_every=10, gpus=workers,
            schedule=schedule, microbatches=microbatches, precision=precision, set={"lr": RATES[optimizer]},
        )
    )  # fmt: skip


# The toy problem has 33 rows: few of these numbers of micro-batches divide them, and one is larger.
GRADIENT = [
    gradient("sgd", "gpipe", 2, None),
    gradient("adam", "1f1b", 2, None),
    gradient("adagrad", "1f1b", 3, 4),
    gradient("adadelta", "gpipe", 3, 5),
    gradient("adam", "gpipe", 2, 1, iterations=20),
    gradient("sgd", "1f1b", 4, 11, iterations=20),
    gradient("adagrad", "gpipe", 4, 33, iterations=10),
    gradient("adadelta", "1f1b", 2, 40, iterations=10),
    gradient("adam", "zero-bubble", 2, None),
    gradient("sgd", "zero-bubble", 4, 12, iterations=20),
    gradient("adagrad", "zero-bubble", 3, 6, iterations=20),
    gradient("sgd", "gpipe", 3, 5, precision="bf16"),
    gradient("adam", "1f1b", 4, 7, precision="bf16"),
]


def name_of_gradient(case: Case) -> str:
    spec = case.spec
    return f"{spec.optimizer} {spec.schedule} {spec.gpus} workers {spec.microbatches} micro-batches {spec.precision}"


def mesh(optimizer: str, mesh: str, iterations: int = 8, **values: Any) -> Case:
    """A case over rows, or over layers and rows; the 33 rows of the toy problem divide among 3 workers only."""
    spec = settings(
        **{
            "optimizer": optimizer, "layers": 5, "hidden": 10, "init": "he", "iterations": iterations, "eval_every": 4,
            "gpus": MESHES[mesh], "mesh": mesh, "warm_start": "none", **values,
        }
    )  # fmt: skip
    return Case(spec, "pubmed" if iterations >= 50 else "toy")


MESHES = {"rows": 2, "rows=3": 3, "layers=1,rows=4": 4, "layers=2": 2, "layers=2,rows=2": 4}
"""Workers of the meshes that are tried."""
TRAINED = {"set": {"lr": 0.005}}
MESH = [
    mesh("adam", "rows", **TRAINED),
    mesh("adam", "layers=2,rows=2", **TRAINED, schedule="1f1b", microbatches=5),
    mesh("sgd", "layers=1,rows=4", set={"lr": 0.1}),
    mesh("adagrad", "rows=3", **TRAINED, precision="bf16"),
    mesh("pdadmm", "rows"),
    mesh("pdadmm", "layers=2,rows=2", set={"mu_per": "spread"}, warm_start="2:3"),
    mesh("pdadmm", "rows=3", set=ROW_UNIT, warm_start="2:3"),
    mesh("pdadmm", "layers=1,rows=4", set=EXACT),
    mesh("pdadmm", "rows=3", set={**EXACT, "step": "exact-W"}),
    mesh("pdadmm", "layers=2,rows=2", set={**EXACT, "bias": "update"}, wire="bf16"),
    mesh("pdadmm", "rows", precision="bf16", set=EXACT),
    mesh("pdadmm", "rows", layers=9, deterministic=False),
    mesh("pdadmm-q", "layers=2,rows=2"),
    mesh("dladmm", "rows=3"),
    mesh("dladmm", "layers=2,rows=2", set={"step": "exact", "bias": "projected"}),
    mesh("pdadmm-m", "layers=2,rows=2"),
    mesh("pdadmm-c", "layers=2,rows=2", set={"momentum": 0.5}),
    mesh("ddg", "layers=2,rows=2", set={"blocks": 4, "lr": 0.01}),
    mesh("fdg", "rows=3", set={"blocks": 2, "lr": 0.01}),
    mesh("adam", "rows=3", **TRAINED, batch_size=8),
    mesh("sgd", "layers=1,rows=4", set={"lr": 0.1, "momentum": 0.5}, batch_size=2),  # some have no row of a batch
]
TWO_CLASSES = [
    Case(case.spec, "two classes") for case in (mesh("adam", "rows=3", **TRAINED), mesh("pdadmm", "layers=2,rows=2"))
]
REAL_MESH = [
    mesh("adam", "rows", 50, **TRAINED),
    mesh("pdadmm", "rows", 50),
    mesh("pdadmm", "layers=2", 50),
    mesh("pdadmm", "layers=2,rows=2", 50),
]


def name_of_mesh(case: Case) -> str:
    spec = case.spec
    words = (f"{key}={value}" for key, value in spec.set.items())
    return " ".join((case.problem, spec.optimizer, spec.mesh, spec.precision, f"{spec.model.layers} layers", *words))


# Stopped on the way, and continued from a checkpoint by a run of their own.
CONTINUED = {
    **{f"toy {name_of(case)}": case for case in (EVERY[-1], OTHERS[2], *OTHERS[4:6], OTHERS[9], *OTHERS[-4:])},
    **{f"toy {name_of(case)}": case for case in DELAYED},
    **{name_of_gradient(case): case for case in GRADIENT[1:3]},
    **{name_of_mesh(case): case for case in (MESH[1], MESH[5])},
}

# All exchanges of a worker in one lane, as if NCCL were initialised eagerly.
IN_ONE_LANE = {
    **{f"toy {name_of(case)}": case for case in (EVERY[-1], OTHERS[1], OTHERS[9], OTHERS[-4], *DELAYED[1:])},
    **{name_of_gradient(case): case for case in GRADIENT[-1:]},
    **{name_of_mesh(case): case for case in (MESH[1], MESH[5])},
}

TIMED = {name_of(case): case for case in (EVERY[4], OTHERS[2], OTHERS[10])}

# With a mistake of that name in the exchange, and what has to be said about it.
REFUSED = {
    "dlADMM receives first": OTHERS[0],
    "codes of 16 bits": OTHERS[10],
    "a worker sums something else": MESH[0],
    "an optimizer forgets a sum": MESH[4],
}

ALL = {
    **{f"{case.problem} {name_of(case)}": case for case in (*EVERY, *OTHERS, *DELAYED, *REAL, EQUAL)},
    "batched": BATCHED,
    **{name_of_gradient(case): case for case in GRADIENT},
    **{name_of_mesh(case): case for case in (*MESH, *TWO_CLASSES, *REAL_MESH)},
}
