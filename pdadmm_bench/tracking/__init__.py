"""MLflow: one parent run per invocation, a child per training run, metrics buffered and written off the clock.

What can be known early is an error before training starts (:class:`TrackingError`). A server that is away, and whatever
fails later, is one warning: training goes on. What the store could not take is kept as files (:mod:`.spool`), tried
again when the invocation ends, and uploaded by ``pdadmm-bench sync`` (:mod:`.sync`).

A run is a :class:`~.record.Record`; :mod:`.runs` fills it while the run goes on, :mod:`.upload` sends it.

Names, stable for searches such as ``params.optimizer = 'pdadmm' and tags.dataset = 'cora'``:

* params (children only): every setting of the run by its own name (``dataset``, ``layers``, ``seed``, …), the resolved
  hyperparameters as ``optimizer_*`` and the placement as ``dist_*``, spelt as in the result row;
* tags: ``dataset``, ``optimizer``, ``device``, ``workers``, ``commit``, ``dirty``, ``status``, ``status_reason``, and
  ``record``, the ``run_id`` of the row;
* metrics: the keys of a step by iteration (``acc_val``, ``objective``, ``iteration_seconds``, …) and, once per run, the
  :data:`~pdadmm_bench.tracking.upload.SUMMARY` columns of the row.
"""

from pdadmm_bench.tracking.runs import TrackedRun, Tracker
from pdadmm_bench.tracking.store import uri_or_default, view_command

__all__ = ["TrackedRun", "Tracker", "uri_or_default", "view_command"]
