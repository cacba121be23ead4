"""What result rows say, and how surely: pure functions over rows and numbers, without files, torch or display.

* :mod:`estimate`: a mean, median or geometric mean with its 95 % bootstrap interval and n;
* :mod:`metrics`: which columns can be compared, on which scale, and from which size on a difference matters;
* :mod:`pairing`: which rows of two sides were the same problem from the same start, and why the others were not;
* :mod:`circumstances`: what differs between two sides, on purpose and else;
* :mod:`paired`: difference or ratio over pairs, its test, and the verdict over a table of comparisons;
* :mod:`table`: these together, from two lists of rows to a line per comparison;
* :mod:`target`: time to a target accuracy, where a miss is a miss;
* :mod:`speedup`: ratios of times against a named reference, and efficiency;
* :mod:`profiles`: performance profiles over datasets.

The choices and their measured error rates are in ``docs/statistics.md``.
"""
