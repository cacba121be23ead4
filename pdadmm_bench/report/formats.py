"""The names of the formats of a table, for the help and the options: nothing that draws is imported."""

from __future__ import annotations

TABLES = ("terminal", "markdown", "csv", "latex", "html")
PICTURES = ("png", "svg")
TABLES_VARIABLE = "PDADMM_BENCH_TABLES"
"""The format of tables on standard output, which the option ``--tables`` sets; ``terminal`` without it."""
