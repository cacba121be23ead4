"""A report as lines of a terminal, as Markdown for a pull request, as JUnit XML and as flat rows."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any
from xml.etree import ElementTree

from pdadmm_bench.gate.checks import Finding
from pdadmm_bench.gate.judge import ORDER, Line, Report
from pdadmm_bench.report import render
from pdadmm_bench.report.tables.gate import checks_table, effect_text

#: What a line that is ok shows of itself.
SHOWN = ("accuracy", "loss curve", "time")


def text(finding: Finding) -> str:
    """A finding in words, with effect, interval and threshold."""
    if finding.check == "run":
        return finding.note
    parts = [finding.check, effect_text(finding)]
    inside = [f"limit {_limit(finding)}"] if finding.threshold else []
    if finding.n is not None and finding.low is not None:
        inside.append(f"{finding.n} {'pairs' if finding.check == 'time' else 'seeds'}")
    inside += [finding.note] if finding.note else []
    return " ".join(part for part in parts if part) + (f" ({', '.join(inside)})" if inside else "")


def _limit(finding: Finding) -> str:
    assert finding.threshold is not None
    if finding.check == "accuracy":
        return f"−{finding.threshold:g}"
    return f"{'±' if finding.check == 'loss curve' else '+'}{100 * finding.threshold:g} %"


def what(line: Line) -> str:
    """What a terminal's line says after verdict and name."""
    if line.reason:
        return line.reason
    shown = line.deciding if line.verdict != "ok" else [f for check in SHOWN if (f := line.finding(check))]
    return "; ".join(map(text, shown))


def totals(report: Report) -> str:
    """``12 ok, 1 worse``, worst first."""
    counts = [(report.count(verdict), verdict) for verdict in ORDER]
    return ", ".join(f"{count} {verdict}" for count, verdict in counts if count) or "no benchmarks"


def markdown(report: Report) -> str:
    """Verdict first, then what got worse, then all lines: for a pull-request comment or a job summary."""
    verdict = {0: "passed", 1: "got worse", 2: "could not be compared"}[report.exit_code]
    parts = [f"### Regression gate `{report.suite}`: {verdict}", f"{totals(report)}. Base: {report.base}."]
    parts += [f"> {note}" for note in report.notes]
    told = [line for line in report.lines if line.verdict != "ok"]
    if told:
        parts.append("\n".join(f"- **{line.verdict}** `{line.name}`: {_cell(what(line))}" for line in told))
    table = render.markdown_body(checks_table(report.lines)).strip()
    parts.append("\n".join(["<details><summary>every benchmark</summary>", "", table, "", "</details>"]))
    parts.append(
        "Effect of the head against the base with its 99 % interval, accuracy in points; a verdict needs the whole "
        "interval beyond the benchmark's threshold."
    )
    return "\n\n".join(parts) + "\n"


def junit(report: Report) -> str:
    """A test case per benchmark: worse is a failure, what could not be compared an error, new is skipped."""
    failures, errors = report.count("worse"), report.count("not comparable") + report.count("missing")
    name = f"pdadmm-bench regress {report.suite}"
    counts = {"tests": len(report.lines), "failures": failures, "errors": errors, "skipped": report.count("new")}
    suite = ElementTree.Element("testsuite", {"name": name, **{key: str(value) for key, value in counts.items()}})
    for line in report.lines:
        case = ElementTree.SubElement(suite, "testcase", {"classname": report.suite, "name": line.name})
        kind = {"worse": "failure", "not comparable": "error", "missing": "error", "new": "skipped"}.get(line.verdict)
        if kind:
            ElementTree.SubElement(case, kind, {"message": _xml(what(line))})
        told = "\n".join(map(text, line.findings)) or line.reason or line.verdict
        ElementTree.SubElement(case, "system-out").text = _xml(told)
    suites = ElementTree.Element("testsuites")
    suites.append(suite)
    ElementTree.indent(suites)
    return ElementTree.tostring(suites, encoding="unicode", xml_declaration=True) + "\n"


def rows(report: Report) -> list[dict[str, Any]]:
    """A flat row per benchmark and check, for JSON and MLflow; infinity, which JSON lacks, becomes null."""
    found: list[dict[str, Any]] = []
    for line in report.lines:
        common = {"suite": report.suite, "benchmark": line.name, "verdict": line.verdict, "reason": line.reason}
        findings: Sequence[Finding | None] = line.findings or (None,)
        for finding in findings:
            values = asdict(finding) if finding else {}
            values = {
                key: None if isinstance(value, float) and not math.isfinite(value) else value
                for key, value in values.items()
            }
            found.append({**common, **values})
    return found


def _cell(value: str) -> str:
    return value.replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")


def _xml(value: str) -> str:
    """Without the control characters that XML has no way to say."""
    return re.sub(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "", value)
