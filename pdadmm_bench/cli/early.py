"""What a verb checks before it imports torch and MLflow, which takes seconds: names, addresses and places."""

from __future__ import annotations

from collections.abc import Iterable

from pdadmm_bench.core.files import check_folder, check_writable
from pdadmm_bench.core.options import Output
from pdadmm_bench.data.cache import data_root
from pdadmm_bench.data.catalog import load_card
from pdadmm_bench.optim import registry
from pdadmm_bench.tracking.store import check_address, uri_or_default


def check_output(output: Output) -> None:
    """Raise :class:`~pdadmm_bench.core.errors.UserError` for a store, folder or file that cannot be what it is for."""
    check_address(uri_or_default(output.tracking_uri))
    data_root(output.data_root)
    if output.checkpoint:
        check_folder(output.checkpoint)
    if output.json_file:
        check_writable(output.json_file)


def check_names(optimizers: Iterable[str] = (), datasets: Iterable[str | None] = ()) -> None:
    """Raise :class:`~pdadmm_bench.core.errors.UserError` for an unknown optimizer or dataset, or a faulty card."""
    for name in optimizers:
        registry.check(name)
    for dataset in filter(None, datasets):
        load_card(dataset)
