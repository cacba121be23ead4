"""Suites: many runs from one file, made at once or one after the other, interrupted and continued.

* :mod:`~pdadmm_bench.suite.file` reads a suite file and expands its grids to specs of runs;
* :mod:`~pdadmm_bench.suite.search` draws the trials of a search for hyperparameters;
* :mod:`~pdadmm_bench.suite.identity` says when two runs are the same run, so that a finished one is not made again;
* :mod:`~pdadmm_bench.suite.results` keeps a row per run in a folder that several processes may share;
* :mod:`~pdadmm_bench.suite.estimate` predicts what a run takes, in seconds and bytes;
* :mod:`~pdadmm_bench.suite.plan` decides before the start what becomes of every run: made, skipped, or finished;
* :mod:`~pdadmm_bench.suite.labels` names runs, as short as tells them apart;
* :mod:`~pdadmm_bench.suite.scheduler` decides which process makes which run when;
* :mod:`~pdadmm_bench.suite.active_run` is one run while it is made;
* :mod:`~pdadmm_bench.suite.row_keeper` writes the rows;
* :mod:`~pdadmm_bench.suite.pool` has the processes, :mod:`~pdadmm_bench.suite.worker` is what runs in them;
* :mod:`~pdadmm_bench.suite.progress` is what a suite tells whoever shows it;
* :mod:`~pdadmm_bench.suite.opening` puts these together for the command ``suite``;
* :mod:`~pdadmm_bench.suite.rerun` makes the run of one row again and compares the numbers.
"""
