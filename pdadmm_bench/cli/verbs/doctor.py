"""``pdadmm-bench doctor``: checks what this machine can do, and names a remedy for the rest."""

from __future__ import annotations

from pathlib import Path

import typer


def doctor(data_root: Path | None = None, tracking_uri: str | None = None, cache: Path | None = None) -> None:
    """Say what this machine can do, and what to do about the rest.

    Covers Python, torch, devices, backends, the MLflow store and the datasets. Exits with 1 on a failure.
    """
    from pdadmm_bench.cli.views.console import show
    from pdadmm_bench.report.tables.listing import doctor_table
    from pdadmm_bench.selftest.diagnoses import diagnoses

    found = list(diagnoses(data_root, tracking_uri, cache))
    show(doctor_table((check.mark, check.subject, check.state, check.remedy) for check in found))
    if any(check.mark == "fail" for check in found):
        raise typer.Exit(1)
