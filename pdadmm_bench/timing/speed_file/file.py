"""A speed file: its entries, read and checked before the first is measured, and the flat row that each becomes.

There is a row however the measurement ended. It holds the verdict on every target, so a report needs nothing else. A
target that is not met does not fail a command.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import Field

from pdadmm_bench.core import quiet, resources
from pdadmm_bench.core.errors import UserError, unknown
from pdadmm_bench.core.rows import SCHEMA_VERSION, Row, first_values
from pdadmm_bench.core.typed import Typed, build, read_toml
from pdadmm_bench.data.cache import cache_folder
from pdadmm_bench.data.catalog import load_card
from pdadmm_bench.optim import registry
from pdadmm_bench.optim.hyperparameters import check as check_hyperparameters
from pdadmm_bench.timing.samples import Samples
from pdadmm_bench.timing.speed_file.entry import Bench, SpeedEntry, Target
from pdadmm_bench.timing.speed_file.kinds import KINDS


class SpeedFile(Typed):
    """A speed file before its entries are distinguished by ``kind``."""

    summary: str = ""
    entry: list[dict[str, Any]] = Field(min_length=1)


def find(name: str) -> Path:
    """The file ``name``, or the shipped file of that name; raises :class:`UserError` if there is neither."""
    path = Path(name)
    shipped = resources.find(f"runners/{path.stem}.toml") if str(path.parent) in (".", "runners") else None
    found = path if path.is_file() else shipped
    if found is None:
        raise UserError(f"no such speed file: {name}")
    return found


def read(path: Path) -> list[SpeedEntry]:
    """The entries of a speed file; raises :class:`UserError` for a mistake in one."""
    tables = build(SpeedFile, read_toml(path), f"key of {path.name}:").entry
    entries = [
        _entry(table, f"setting of entry {table.get('name', number)!r}") for number, table in enumerate(tables, 1)
    ]
    names = [entry.name for entry in entries]
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"{path.name} has two entries called {name!r}; their rows could not be told apart")
    return entries


def _entry(table: dict[str, Any], what: str) -> SpeedEntry:
    kind = table.get("kind", "profile")
    if kind not in KINDS:
        raise unknown(f"{what}: kind", str(kind), KINDS)
    entry = build(KINDS[kind], {key: value for key, value in table.items() if key != "kind"}, what)
    for spec in entry.specs():
        load_card(spec.data.dataset)
        registry.check(spec.optimizer)
        check_hyperparameters(spec)
    return entry


def single(options: dict[str, Any]) -> SpeedEntry:
    """The entry that the options of the command line describe."""
    return _entry({"name": "profile", **options}, "option")


def check_here(entries: Sequence[SpeedEntry]) -> None:
    """Raise :class:`UserError` for an entry that cannot be measured on this machine."""
    from pdadmm_bench.training.setup import resolve

    for spec in (spec for entry in entries for spec in entry.specs()):
        resolve(spec)


def measured(entry: SpeedEntry, bench: Bench) -> tuple[Row, BaseException | None]:
    """The row of one entry, and the error that ended it early, if any; the row then has the figures measured before."""
    from pdadmm_bench.timing.subject import Unsupported
    from pdadmm_bench.training.row import failed

    checked = quiet.kept(cache_folder())
    found, status = Samples(), "ok"
    error: BaseException | None = None
    try:
        entry.measure(bench, found)
    except KeyboardInterrupt:
        status, error = "interrupted", KeyboardInterrupt("stopped by the user")
    except Unsupported as reason:
        status, error = "skipped", reason
    except Exception as failure:
        status, error = failed(failure), failure
    figures = found.row_values()
    row = {
        "entry": entry.name,
        "kind": next(name for name, kind in KINDS.items() if type(entry) is kind),
        "status": status,
        "status_reason": None if error is None else str(error) or type(error).__name__,
        "schema_version": SCHEMA_VERSION,
        **first_values(entry.spec()),
        "env_quiet": checked,
        "spec": entry.model_dump_json(),
        "dataset_name": entry.dataset or "generated",
        **figures,
        "targets": json.dumps(
            [_judged(figure, target, figures.get(figure)) for figure, target in entry.targets.items()]
        ),
    }
    return row, error


def _judged(figure: str, target: Target, value: float | None) -> dict[str, Any]:
    """A target and its verdict as a row holds them; ``met`` is null where there is no figure."""
    met = None if value is None else target.met(value)
    return {"figure": figure, **target.model_dump(exclude_none=True), "met": met}
