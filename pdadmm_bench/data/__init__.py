"""From a dataset's name to a :class:`~pdadmm_bench.data.problem.Problem`.

card → raw files (verified) → graph → hop features of the split's rows (cached) → problem.
"""
