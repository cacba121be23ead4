"""A report as lines of a terminal, as Markdown for a pull request, as JUnit XML and as flat rows."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any
from xml.etree import ElementTree

from pdadmm_bench.gate.checks import Finding
from pdadmm_bench.gate.judge import ORDER, BenchmarkVerdict, GateReport
from pdadmm_bench.report import render
from pdadmm_bench.report.tables.gate import checks_table, effect_text

#: The checks that an ok benchmark shows.
SHOWN = ("accuracy", "loss curve", "time")


def finding_text(finding: Finding) -> str:
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


def explanation(item: BenchmarkVerdict) -> str:
    """Why a benchmark has its verdict, in one line; of an ok one, what was found."""
    if item.reason:
        return item.reason
    shown = item.deciding if item.verdict != "ok" else [f for check in SHOWN if (f := item.finding(check))]
    return "; ".join(map(finding_text, shown))


def totals(report: GateReport) -> str:
    """``12 ok, 1 worse``, worst first."""
    counts = [(report.count(verdict), verdict) for verdict in ORDER]
    return ", ".join(f"{count} {verdict}" for count, verdict in counts if count) or "no benchmarks"


def markdown(report: GateReport) -> str:
    """Verdict first, then what got worse, then all lines: for a pull-request comment or a job summary."""
    verdict = {0: "passed", 1: "got worse", 2: "could not be compared"}[report.exit_code]
    parts = [f"### Regression gate `{report.suite}`: {verdict}", f"{totals(report)}. Base: {report.base}."]
    parts += [f"> {note}" for note in report.notes]
    told = [item for item in report.verdicts if item.verdict != "ok"]
    if told:
        parts.append("\n".join(f"- **{item.verdict}** `{item.name}`: {_cell(explanation(item))}" for item in told))
    table = render.markdown_body(checks_table(report.verdicts)).strip()
    parts.append("\n".join(["<details><summary>every benchmark</summary>", "", table, "", "</details>"]))
    parts.append(
        "Effect of the head against the base with its 99 % interval, accuracy in points; a verdict needs the whole "
        "interval beyond the benchmark's threshold."
    )
    return "\n\n".join(parts) + "\n"


def junit(report: GateReport) -> str:
    """A test case per benchmark: worse is a failure, what could not be compared an error, new is skipped."""
    failures, errors = report.count("worse"), report.count("not comparable") + report.count("missing")
    name = f"pdadmm-bench regress {report.suite}"
    counts = {"tests": len(report.verdicts), "failures": failures, "errors": errors, "skipped": report.count("new")}
    suite = ElementTree.Element("testsuite", {"name": name, **{key: str(value) for key, value in counts.items()}})
    for item in report.verdicts:
        case = ElementTree.SubElement(suite, "testcase", {"classname": report.suite, "name": item.name})
        kind = {"worse": "failure", "not comparable": "error", "missing": "error", "new": "skipped"}.get(item.verdict)
        if kind:
            ElementTree.SubElement(case, kind, {"message": _xml(explanation(item))})
        told = "\n".join(map(finding_text, item.findings)) or item.reason or item.verdict
        ElementTree.SubElement(case, "system-out").text = _xml(told)
    suites = ElementTree.Element("testsuites")
    suites.append(suite)
    ElementTree.indent(suites)
    return ElementTree.tostring(suites, encoding="unicode", xml_declaration=True) + "\n"


def rows(report: GateReport) -> list[dict[str, Any]]:
    """A flat row per benchmark and check, for JSON and MLflow; infinity, which JSON lacks, becomes null."""
    found: list[dict[str, Any]] = []
    for item in report.verdicts:
        common = {"suite": report.suite, "benchmark": item.name, "verdict": item.verdict, "reason": item.reason}
        findings: Sequence[Finding | None] = item.findings or (None,)
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
    """``value`` without the control characters that XML cannot represent."""
    return re.sub(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "", value)
