"""Optimizers: one file each, behind the contract of :mod:`pdadmm_bench.optim.base`."""

from pdadmm_bench.core.registry import Registry

registry = Registry(
    "optimizer",
    "pdadmm_bench.optimizers",
    {
        "pdadmm": "pdadmm_bench.optim.admm.pdadmm:PdADMM",
        "pdadmm-q": "pdadmm_bench.optim.admm.pdadmm_q:PdADMMQ",
        "pdadmm-m": "pdadmm_bench.optim.admm.pdadmm_m:PdADMMM",
        "pdadmm-c": "pdadmm_bench.optim.admm.pdadmm_c:PdADMMC",
        "dladmm": "pdadmm_bench.optim.admm.dladmm:DlADMM",
        "sgd": "pdadmm_bench.optim.gradient.sgd:SGD",
        "adam": "pdadmm_bench.optim.gradient.adam:Adam",
        "adagrad": "pdadmm_bench.optim.gradient.adagrad:Adagrad",
        "adadelta": "pdadmm_bench.optim.gradient.adadelta:Adadelta",
        "ddg": "pdadmm_bench.optim.gradient.ddg:DDG",
        "fdg": "pdadmm_bench.optim.gradient.fdg:FDG",
        "pdadmm-reference": "pdadmm_bench.optim.admm.reference:Reference",
    },
)

REFERENCE = "pdadmm-reference"
"""The oracle, which pdADMM's time and accuracy are measured against."""
NAMED_ONLY = (REFERENCE, "pdadmm-m", "pdadmm-c", "ddg", "fdg")
"""Optimizers that run when they are named; ``all`` leaves them out: an oracle, and those whose hyperparameters have not
been chosen on few labels, so that the protocol's tables have no row of them."""


def contenders() -> list[str]:
    """The optimizers of ``--optimizer all``."""
    return [name for name in registry.names() if name not in NAMED_ONLY]
