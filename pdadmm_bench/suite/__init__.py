"""Suites: many runs from one file, made side by side or one after the other, interrupted and continued.

* :mod:`~pdadmm_bench.suite.file` reads a suite file and expands its grids to run specs;
* :mod:`~pdadmm_bench.suite.identity` says when two runs are the same run, so that a finished one is not repeated;
* :mod:`~pdadmm_bench.suite.results` keeps a row per run in a folder that several processes may share;
* :mod:`~pdadmm_bench.suite.estimate` predicts what a run takes, in seconds and bytes;
* :mod:`~pdadmm_bench.suite.plan` decides for every run, before the start: make it, skip it, or take its row as it is;
* :mod:`~pdadmm_bench.suite.pool` has the processes that runs are made in.
"""
