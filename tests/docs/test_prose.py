"""Numbers in sentences stand in a table that is made of rows: a sentence that is left behind a table is found."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TABLE = re.compile(r"<!-- ([a-z][a-z0-9-]*) -->\n(.*?)<!-- /\1 -->", re.DOTALL)
CODE, OTHER_TABLES, LINKS = r"^```.*?^```$|`[^`\n]*`", r"^\|[^\n]*$", r"\]\([^)]*\)|arXiv:? ?\d+\.\d+"
SETTINGS = r"[=≤≥] ?[\d.]+|(?:aim|target|goal)[^.\n]{0,20} [\d.]+|Python \d+\.\d+|torch [\d.]+"
"""What was chosen or wished for, and not measured."""
LEFT_OUT = re.compile("|".join((CODE, OTHER_TABLES, LINKS, SETTINGS)), re.DOTALL | re.MULTILINE)
DECIMAL = re.compile(r"(?<![\w.])\d+\.\d+(?![\w.])")
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
OF_RESULTS = {
    "README", "accuracy", "many-labels", "rivals", "layouts", "results", "speed", "claims", "history", "protocol",
}  # fmt: skip


def digits(text: str) -> str:
    """The text with ``1,024`` as ``1024``."""
    return re.sub(r"(?<=\d),(?=\d{3})", "", text)


@pytest.fixture(scope="module")
def measured() -> set[str]:
    """The decimals of all tables that are made of rows, on any page."""
    tables = "".join(match[2] for page in PAGES for match in TABLE.finditer(page.read_text(encoding="utf-8")))
    return set(re.findall(r"\d+\.\d+", digits(tables)))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_decimal_in_a_sentence_stands_in_a_table_made_of_rows(page: Path, measured: set[str]) -> None:
    prose = LEFT_OUT.sub(" ", TABLE.sub(" ", page.read_text(encoding="utf-8")))
    found = set(DECIMAL.findall(digits(prose)))
    assert found or page.stem not in OF_RESULTS, "the page has no number any more, and is a page of results"
    assert sorted(found - measured) == []


def test_a_number_that_is_in_no_table_is_found(measured: set[str]) -> None:
    assert "81.3" in measured and "81.37" not in measured
