"""The regression gate: pure functions from what two sides measured to a verdict per benchmark.

* :mod:`machine`: the class of a machine, within which absolute times may be compared;
* :mod:`evidence`: a benchmark's runs, loss curves and times, and when it is the same benchmark;
* :mod:`baseline`: the file that keeps the evidence of one side;
* :mod:`thresholds`: what counts as a change, from the suite file;
* :mod:`intervals`: 99 % intervals of means and medians;
* :mod:`checks`: accuracy, loss curve, iterations to a target, bytes, memory and time of one benchmark;
* :mod:`judge`: these together, a line per benchmark, and the exit code;
* :mod:`calibration`: how often the judgement of times errs;
* :mod:`summary`: lines, Markdown and JUnit XML.

Nothing here runs a benchmark: :mod:`pdadmm_bench.gate.measure` does. The rules are explained in ``docs/regression.md``.
"""
