"""MLflow, a mirror of the rows and their histories: a parent run for each command, a child for each training run.

No store stops a run. Only an address at which there can be none is an error before training starts
(:class:`~pdadmm_bench.core.errors.TrackingError`). Everything else, such as a server that does not answer or a damaged
file, causes one warning, and training goes on. Runs that the store could not take are on disk, as rows with their
histories. They are sent again when the command ends, and by ``pdadmm-bench sync``.

===============  =========================================================================================
``store``        which store, whether it can be written, what is made in it once
``sqlite_file``  a store in a file: made beside its place, and put there when it is whole
``moved``        a store in a file that was moved with its artifacts
``view``         the views of an experiment in MLflow's UI: columns, order, charts
``ui``           which page the UI opens, and its server
``described``    the description of a run for MLflow, made from the values of its row
``values``       values in the form and the size that MLflow takes
``summary``      what a parent run says about its training runs
``upload``       the calls that create, describe, continue and end a run; each can be repeated
``tracker``      the parent run of one command, with :class:`Sender` for a store that may be away
``child``        the observer of one training run
``suite``        the parent run of a suite, which goes on over several starts
``gate``         the verdicts of a regression gate as a run
``kept``         a finished run on disk: row, history, logs
``unsent``       the folder for runs that have no other place on disk
``sync``         uploads what MLflow lacks
``read``         reads rows and histories back from MLflow
``report``       puts the files of a report into MLflow
===============  =========================================================================================

Names, stable for searches such as ``params.optimizer = 'pdadmm' and tags.dataset = 'cora'``:

* params (children only): dataset, optimizer, layers, hidden, seed, gpus, iterations; every other setting, and every
  hyperparameter as ``optimizer_*``, that is not at its default;
* tags: ``dataset``, ``optimizer``, ``device``, ``workers``, ``hyperparameters``, ``commit``, ``dirty``, ``status``,
  ``status_reason``, and ``record``, the ``run_id`` of the row;
* metrics, named as in the row: by iteration ``acc_val``, ``objective``, ``time_iteration_s``, ``time_train_s``, … and
  ``acc_test_at_best_val`` so far; once per run, the :data:`~pdadmm_bench.tracking.upload.SUMMARY` columns. Their times
  are those of the training clock.
"""

from pdadmm_bench.tracking.child import TrackedRun
from pdadmm_bench.tracking.store import uri_or_default, view_command
from pdadmm_bench.tracking.tracker import Tracker

__all__ = ["TrackedRun", "Tracker", "uri_or_default", "view_command"]
