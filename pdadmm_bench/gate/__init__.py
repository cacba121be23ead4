"""The regression gate: is this code worse than a recorded baseline, or than another revision?

Pure functions, from the evidence of two sides to a verdict per benchmark:

* :mod:`~pdadmm_bench.gate.evidence`: a benchmark's runs, loss curves and times, and when it is the same benchmark;
* :mod:`~pdadmm_bench.gate.baseline`: the file that keeps the evidence of one side;
* :mod:`~pdadmm_bench.gate.thresholds`: the size from which a change counts, read from the suite file;
* :mod:`~pdadmm_bench.gate.intervals`: 99 % intervals of means and medians;
* :mod:`~pdadmm_bench.gate.checks`: accuracy, loss curve, iterations to a target, bytes, memory and time of a benchmark;
* :mod:`~pdadmm_bench.gate.judge`: the verdict that follows from the checks, and the exit code;
* :mod:`~pdadmm_bench.gate.error_rates`: how often the judgement errs;
* :mod:`~pdadmm_bench.gate.summary`: verdicts as text, Markdown, JUnit XML and rows.

Measurement of the evidence:

* :mod:`~pdadmm_bench.gate.checkout`: the code of a side;
* :mod:`~pdadmm_bench.gate.probe`: the process that runs benchmarks with that code;
* :mod:`~pdadmm_bench.gate.measure`: runs of one side or two, and times measured in turn;
* :mod:`~pdadmm_bench.gate.record`: a baseline, recorded and found again;
* :mod:`~pdadmm_bench.gate.run`: this code judged against a base;
* :mod:`~pdadmm_bench.gate.calibrate`: this code compared with itself, many times.

The rules are explained in ``docs/regression.md``.
"""
