"""pdadmm-bench: accuracy and speed of layer-parallel ADMM next to backpropagation on graph-augmented MLPs.

The packages import in one direction: ``cli → runner → {optim, models, data, dist} → core``; ``track`` and
``report`` see result rows only. Nothing here imports torch until a verb needs it.
"""

__version__ = "0.1.0"
