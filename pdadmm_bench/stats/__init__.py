"""Statistics of result rows: pure functions over rows and numbers, without files, torch or display.

* :mod:`estimate`: a mean or a median with its 95 % bootstrap interval and n;
* :mod:`metrics`: which columns can be compared, on which scale, and the size from which a difference matters;
* :mod:`pairing`: which rows of two sides are the same problem from the same start, and why other rows have no partner;
* :mod:`differences`: what differs between two sides, on purpose or not;
* :mod:`paired`: difference or ratio over pairs, its test, and the verdicts of a table of comparisons;
* :mod:`comparison`: these together, from two lists of rows to a line per comparison;
* :mod:`target`: time to a target accuracy; a run that misses the target stays in the count;
* :mod:`speedup`: ratios of times against a named reference, and efficiency;
* :mod:`performance_profile`: performance profiles over datasets.

The choices and their measured error rates are in ``docs/statistics.md``.
"""
