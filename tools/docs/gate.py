"""How often the regression gate errs: the table of docs/regression.md, from the pairs that ``--calibrate`` measured.

    pdadmm-bench regress --suite runners/ci.toml --calibrate --json pairs.json
    gzip -c pairs.json > reports/studies/gate.json.gz
    python tools/docs/gate.py            # writes the table
    python tools/docs/gate.py --check    # fails where the page has other numbers than the pairs

Accuracies are simulated on the runs of the committed baseline.
"""

from __future__ import annotations

import sys

from marked import ROOT, Marked, main, markdown

from pdadmm_bench.core.rows import Row
from pdadmm_bench.gate import baseline, calibrate, measure
from pdadmm_bench.gate.error_rates import CAUGHT

ERRORS = Marked("gate", ROOT / "reports" / "studies" / "gate.json.gz", (ROOT / "docs" / "regression.md",))
BASELINE = next((ROOT / "reports" / "baselines").glob("*/ci.json"))


def errors(found: list[Row]) -> str:
    """False alarms and slowdowns caught, beside what is wanted."""
    suite = measure.load(str(ROOT / "runners" / "ci.toml"))
    rates = calibrate.judged(suite, found, baseline.read(BASELINE).benchmarks.values())
    times, accuracies = rates.times, rates.accuracies
    assert accuracies is not None, "benchmarks of the suite have several seeds"
    planted = calibrate.PLANTED_PERCENT
    lines = [
        ["null comparisons of times", "200", str(times.comparisons)],
        ["of them called worse", "≤ 1 %", f"{times.false_alarms} (95 % limit {100 * times.false_alarm_limit:.1f} %)"],
        ["of them called better", "", str(times.false_better)],
        [f"slowdown of {planted} % caught", "≥ 95 %", f"{100 * times.caught[planted]:.1f} %"],
        [f"smallest slowdown caught in {100 * CAUGHT:.0f} of 100", "", f"{times.smallest} %"],
        ["half-width of an interval, median", "", f"{100 * times.half_width:.1f} %"],
        ["pairs of a comparison", "", f"{rates.fewest_pairs} to {rates.most_pairs}"],
        [
            f"null comparisons of accuracies on {rates.test_nodes:,} test nodes called worse, simulated",
            "≤ 1 %",
            f"{accuracies.false_alarms} of {accuracies.comparisons}",
        ],
        [
            f"loss of {accuracies.lost_points:g} point caught, simulated",
            "≥ 95 %",
            f"{100 * accuracies.caught:.1f} %",
        ],
    ]
    return markdown(["", "wanted", "measured"], lines)


TABLES = ((ERRORS, errors),)

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], *TABLES))
