"""From a dataset's name to a :class:`~pdadmm_bench.data.problem.Problem`.

catalog: name → card. stage: card → raw files, verified. graphs: files → graph. splits and features: graph → the hop
features of the rows of the split. load: all of it, with a cache of the result.
"""
