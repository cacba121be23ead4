"""How much memory does a worker need? One worker beside two that share layers, and meshes that share features.

    python tools/studies/memory.py reports/studies/memory.json

Kept are ``state_bytes`` and ``peak_bytes`` of every worker (docs/rows.md); every case has processes of its own. Needs
11 GB.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from kept import keep

import pdadmm_bench as pb
from pdadmm_bench.timing.generated import generated_problem

DEEP = "--rows 100000 --features 400 --classes 40 --hidden 400 --layers 16 --optimizer pdadmm --partition even"
ONCE = "--threads 1 --iterations 1 --repeats 1"
WIDE = {"rows": 90941, "features": 640, "classes": 40}
MESHES: dict[str, dict[str, Any]] = {
    "2 over layers": {"workers": 2, "mesh": "layers"},
    "2 × 2": {"workers": 4, "mesh": "layers=2,rows=2"},
    "4 over rows": {"workers": 4, "mesh": "rows"},
}
KEPT = ("rank", "state_bytes", "peak_bytes")


def scaled(workers: int) -> list[dict[str, Any]]:
    """The workers of a deep network."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "rows.json"
        options = f"{DEEP} {ONCE} --workers {workers} --json {file}".split()
        subprocess.run([sys.executable, "-m", "pdadmm_bench", "scale", *options], check=True)
        return workers_of(json.loads(file.read_text())[0])


def shared(mesh: dict[str, Any]) -> list[dict[str, Any]]:
    """The workers of a network of two small layers, whose memory is that of the features."""
    network = {"layers": 2, "hidden": 16, "iterations": 2, "warm_start": "none", "threads": 1}
    (row,) = pb.run(generated_problem(**WIDE), "sgd", **network, **mesh)
    return workers_of(row)


def workers_of(row: dict[str, Any]) -> list[dict[str, Any]]:
    """What is kept of each worker."""
    return [{name: worker[name] for name in KEPT} for worker in json.loads(row["dist_per_worker"])]


def main(path: str) -> None:
    """Measure every case."""
    cases = {f"deep, {workers}": scaled(workers) for workers in (1, 2)}
    cases |= {f"features, {name}": shared(mesh) for name, mesh in MESHES.items()}
    keep(path, [{"case": case, **worker} for case, workers in cases.items() for worker in workers])


if __name__ == "__main__":
    main(sys.argv[1])
