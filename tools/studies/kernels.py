"""How far loss curves depart from the baseline with the kernels of another processor: those without AVX.

    python tools/studies/kernels.py FILE        # about a minute

The rows of the features are made anew too. Every comparison of the gate's suite with the committed baseline is kept.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from kept import keep

ROOT = Path(__file__).resolve().parents[2]
KERNELS = {"ATEN_CPU_CAPABILITY": "default", "MKL_ENABLE_INSTRUCTIONS": "SSE4_2"}
"""Torch and MKL take these instead of what the processor has."""


def main(path: str) -> None:
    """Compare, and keep the loss curves."""
    with tempfile.TemporaryDirectory() as folder:
        rows = Path(folder) / "rows.json"
        gate = ["regress", "--suite", "runners/ci.toml", "--quick", "--json", str(rows)]
        subprocess.run(
            [sys.executable, "-m", "pdadmm_bench", *gate, "--tracking-uri", f"sqlite:///{folder}/mlflow.db"],
            env=os.environ | KERNELS | {"PDADMM_BENCH_CACHE": f"{folder}/cache"},
            cwd=ROOT,
            check=True,
        )
        keep(path, [row for row in json.loads(rows.read_text()) if row["check"] == "loss curve"])


if __name__ == "__main__":
    main(*sys.argv[1:])
