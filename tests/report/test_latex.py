"""The LaTeX of a report's tables: what TeX would stumble over is not in it, and where there is a TeX, it agrees."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stats_rows import runs

from pdadmm_bench.report.assemble import assemble
from pdadmm_bench.report.render import latex
from pdadmm_bench.report.table import Cell, Column, Table

MATHS = r"\$(?:-|\\(?:times|le|ge|pm|infty|to|rho|nu|star))\$"
TOKEN = re.compile(rf"\\begin\{{\w+\}}|\\end\{{\w+\}}|\\\\|\\[a-zA-Z]+|\\.|{MATHS}|[^\\]", re.DOTALL)
KNOWN = {
    r"\centering", r"\caption", r"\label", r"\toprule", r"\midrule", r"\bottomrule", r"\par", r"\footnotesize",
    r"\textbf", r"\textbackslash", r"\textasciitilde", r"\textasciicircum", r"\textdagger", r"\textmu", r"\dots",
    r"\textperiodcentered", r"\textless", r"\textgreater", r"\textbar", r"\linewidth",
}  # fmt: skip
ESCAPED = {rf"\{character}" for character in "&%$#_{}"}


def check(source: str) -> int:
    """Raise for what TeX would not take as it is meant; returns the number of lines of the table."""
    comment, body = source.split("\n", 1)
    assert comment.startswith("% ")
    label = re.search(r"\\label\{tab:[a-z0-9-]+\}", body)
    assert label is not None
    plain = body.replace(label[0], "")
    columns = re.search(r"\\begin\{tabular\}\{([lr]+)\}", plain)
    assert columns is not None
    plain = plain.replace(columns[0], r"\begin{tabular}")
    opened: list[str] = []
    depth = cells = lines = 0
    ended = False
    for token in TOKEN.findall(plain):
        assert not (ended and token in "[*"), "taken for an option of the end of the line"
        ended = token == r"\\" or (ended and token.isspace())
        if token.startswith(r"\begin"):
            opened.append(token[7:-1])
        elif token.startswith(r"\end"):
            assert opened.pop() == token[5:-1]
        elif token in "{}":
            depth += 1 if token == "{" else -1
            assert depth >= 0
        elif token == "&":
            assert (opened[-1], depth) == ("tabular", 0)
            cells += 1
        elif token == r"\\":
            assert (opened[-1], depth, cells + 1) == ("tabular", 0, len(columns[1]))
            cells, lines = 0, lines + 1
        elif token.startswith("\\"):
            assert token in KNOWN | ESCAPED, token
        elif not re.fullmatch(MATHS, token):
            assert token not in "$%#_^~<>|", token
            assert ord(token) < 256 or token.isalpha(), token
    assert not opened and not depth and not cells
    assert [rule in body for rule in (r"\toprule", r"\midrule", r"\bottomrule")] == [True] * 3
    return lines


HARD = st.text(st.sampled_from("ab1 \\&%$#_{}~^[]*<>|\"'`-–×≤≥±∞†→−ρνµμ…·★éß,."), max_size=12)
EVERYTHING = '50 % of a_b & {c} #1 ~ ^ \\ $ < > | " [x] *y ± ∞ † → − ρ ν µ … · ★ é'


@settings(max_examples=60, deadline=None)
@given(HARD, st.lists(st.tuples(HARD, HARD), min_size=1, max_size=3), st.lists(HARD, max_size=2))
def test_whatever_stands_in_a_table_tex_can_read_it(title: str, rows: list[tuple[str, str]], notes: list[str]) -> None:
    cells = [[Cell(one), Cell(other)] for one, other in rows]
    assert check(latex(Table("t", title, [Column(title), Column("x")], cells, notes))) == len(rows) + 1


def tables() -> list[Table]:
    """Every kind of table that there is, and one with everything that is hard to set."""
    numbers = [0.70, 0.71, 0.72, 0.70, 0.71, 0.72]
    rows = [
        row | {"dist_wire": "fp32", "dist_sent_bytes": 4000, "time_target_accuracy": 0.8, "time_to_target_s": 1.0}
        for optimizer, better in (("adam", 0.0), ("pdadmm", 0.05))
        for gpus, layers, hidden in ((1, 4, 16), (2, 4, 16), (1, 8, 16), (2, 8, 16), (1, 4, 32), (2, 4, 32))
        for row in runs(optimizer, "acc_test_at_best_val", [number + better for number in numbers],
                        gpus=gpus, layers=layers, hidden=hidden)
    ]  # fmt: skip
    report = assemble(rows, [], published=True)
    hard = [[Cell(f"[{EVERYTHING}"), Cell(0.5, 0.4, 0.6, 5, best=True)], [Cell(f"*{EVERYTHING}"), Cell()]]
    return [
        *report.tables,
        Table("hard", EVERYTHING, [Column(EVERYTHING), Column("x", "accuracy")], hard, [EVERYTHING]),
    ]


def test_every_table_of_a_report_can_be_set() -> None:
    names = [table.name for table in tables()]
    assert {name.rstrip("-12") for name in names} == {
        "accuracy", "iteration-time", "speedup-by-workers", "speedup-by-depth", "speedup-by-width", "time-to-target",
        "profile", "communication", "published-accuracy", "published-speedup", "published-communication", "hard",
    }  # fmt: skip
    for table in tables():
        assert check(latex(table)) == len(table.rows) + 1


@pytest.mark.skipif(
    shutil.which("pdflatex") is None, reason="needs pdflatex (Debian: texlive-latex-recommended, texlive-latex-extra)"
)
def test_tex_sets_every_table(tmp_path: Path) -> None:
    parts = "".join(latex(table) + "\\clearpage\n" for table in tables())
    head = "\\documentclass{article}\n\\usepackage{booktabs,adjustbox}\n\\begin{document}\n"
    (tmp_path / "all.tex").write_text(f"{head}{parts}\\end{{document}}\n", encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "all.tex"]
    made = subprocess.run(command, cwd=tmp_path, capture_output=True, timeout=120, check=False)
    log = (tmp_path / "all.log").read_text(encoding="latin-1")
    assert made.returncode == 0, log[-2000:]
    assert "undefined" not in log and "Missing character" not in log
    assert "Overfull" not in log, "a table is wider than its page"
    assert f"({len(tables())} pages" in log
