"""Errors for what a user got wrong."""

from __future__ import annotations

from pdadmm_bench.core.errors import unknown


def test_unknown_names_the_nearest_first() -> None:
    error = unknown("dataset", "pubmd", ["cora", "pubmed", "citeseer"])
    assert str(error) == "unknown dataset 'pubmd': did you mean pubmed? valid: citeseer, cora, pubmed"
    assert error.exit_code == 2
    assert str(unknown("dataset", "zzz", [])) == "unknown dataset 'zzz': valid: (none)"
