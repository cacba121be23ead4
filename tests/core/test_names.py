"""Names for readers."""

from __future__ import annotations

from pdadmm_bench.core.names import command_name, run_name, short_names
from pdadmm_bench.core.spec import run_spec


def test_a_generated_graph_has_a_short_name() -> None:
    """Of several graphs of one generator, what differs between them is left."""
    assert short_names(["cora", "sbm[nodes=400,classes=4]"]) == {"cora": "cora", "sbm[nodes=400,classes=4]": "sbm"}
    assert short_names(["sbm[nodes=400,classes=4]", "sbm[nodes=800,classes=4]"]) == {
        "sbm[nodes=400,classes=4]": "sbm[nodes=400]",
        "sbm[nodes=800,classes=4]": "sbm[nodes=800]",
    }
    assert short_names(["sbm", "sbm[nodes=800]"]) == {"sbm": "sbm", "sbm[nodes=800]": "sbm[nodes=800]"}


def test_the_runs_of_a_command() -> None:
    specs = [
        run_spec({"dataset": "cora", "layers": 4, "hidden": 64, "optimizer": optimizer, "seed": seed})
        for optimizer in ("pdadmm", "adam")
        for seed in range(3)
    ]
    assert command_name(specs) == "cora 4×64 · 2 optimizers · 3 seeds"
    assert command_name(specs[:1]) == "cora 4×64 · pdadmm · 1 seed"
    deeper = run_spec({"dataset": "cora", "layers": 8, "hidden": 64, "gpus": 2})
    assert command_name([specs[0], deeper]) == "cora 2 networks · pdadmm · 1, 2 workers · 1 seed"
    assert run_name(deeper, 2) == "pdadmm cora 8×64 2 workers seed 0"
    assert run_name(deeper, 2, "layers=1,rows=2") == "pdadmm cora 8×64 2 workers (rows) seed 0"
    assert run_name(deeper, 4, "layers=2,rows=2") == "pdadmm cora 8×64 4 workers (layers=2,rows=2) seed 0"
