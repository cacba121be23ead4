"""``pdadmm-bench selftest``: checks on this machine's devices what only they can show."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from pdadmm_bench.core.errors import unknown

MARKS = {"ok": "✓", "skip": "–", "fail": "✗", "timeout": "✗"}


def selftest(
    device: Annotated[str, typer.Option(help="cpu, cuda, or auto: CUDA where there is a device")] = "auto",
    only: Annotated[list[str] | None, typer.Option(help="checks whose name begins so; repeatable; no record")] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="make checks again that passed before")] = False,
    cache: Annotated[Path | None, typer.Option(help="cache folder, where the record is kept")] = None,
) -> None:
    """Check speed, memory, results and failures on this machine's devices.

    It takes minutes on GPUs and a minute on a CPU. Each check gives a JSON line on the standard output, and its verdict
    on the terminal. A self-test that was stopped goes on where it was. The exit code is 1 where a check failed.
    """
    import tempfile

    from pdadmm_bench.core.selftests import record_file
    from pdadmm_bench.data.cache import cache_folder
    from pdadmm_bench.selftest.catalogue import checks_for
    from pdadmm_bench.selftest.run import selftest as make
    from pdadmm_bench.training.setup import choose_device

    if device not in ("auto", "cpu", "cuda"):
        raise unknown("device", device, ("auto", "cpu", "cuda"))
    kind = choose_device(device).type
    checks = checks_for(kind)
    chosen = [check for check in checks if not only or any(check.name.startswith(name) for name in only)]
    for name in only or []:
        if not any(check.name.startswith(name) for check in checks):
            raise unknown("check", name, sorted({check.name for check in checks}))

    def show(line: dict[str, Any]) -> None:
        typer.echo(json.dumps(line))
        reason = f": {line['reason']}" if "reason" in line else ""
        typer.echo(f"{MARKS[line['verdict']]} {line['check']} ({line['seconds']:.1f} s){reason}", err=True)

    if only:
        with tempfile.TemporaryDirectory() as folder:  # a part is no self-test
            verdict = make(chosen, kind, Path(folder) / "record.jsonl", True, show)
    else:
        record = record_file(cache_folder(cache), kind)
        verdict = make(chosen, kind, record, fresh, show)
        typer.echo(f"recorded in {record}", err=True)
    typer.echo(json.dumps(verdict))
    if verdict["verdict"] != "ok":
        raise typer.Exit(1)
