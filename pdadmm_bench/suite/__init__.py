"""Suites: many runs from one file, side by side or one after the other. An interrupted suite can be continued.

* :mod:`~pdadmm_bench.suite.file` reads a suite file and expands its grids to specs of runs;
* :mod:`~pdadmm_bench.suite.search` draws the trials of a search for hyperparameters;
* :mod:`~pdadmm_bench.suite.identity` says when two runs are the same run, so that a finished one is not made again;
* :mod:`~pdadmm_bench.suite.results` keeps a row per run in a folder that several processes may share;
* :mod:`~pdadmm_bench.suite.estimate` predicts what a run takes, in seconds and bytes;
* :mod:`~pdadmm_bench.suite.plan` decides before the start what becomes of every run: made, skipped, or finished;
* :mod:`~pdadmm_bench.suite.labels` gives runs short names that distinguish them;
* :mod:`~pdadmm_bench.suite.scheduler` decides which process makes which run when;
* :mod:`~pdadmm_bench.suite.active_run` is one run while it is made;
* :mod:`~pdadmm_bench.suite.row_keeper` writes the rows;
* :mod:`~pdadmm_bench.suite.pool` holds the processes, :mod:`~pdadmm_bench.suite.worker` is the code that runs in them;
* :mod:`~pdadmm_bench.suite.progress` is the interface through which a suite reports its progress;
* :mod:`~pdadmm_bench.suite.opening` combines these for the command ``suite``;
* :mod:`~pdadmm_bench.suite.rerun` makes the run of one row again and compares the numbers.
"""
