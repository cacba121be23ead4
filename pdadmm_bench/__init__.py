"""pdadmm-bench: accuracy and speed of layer-parallel ADMM next to backpropagation on graph-augmented MLPs.

``import pdadmm_bench as pb`` has the functions of :mod:`pdadmm_bench.library`. They are imported when they are first
used, so that the import itself, and the command, stay quick: nothing here imports torch. Their types are in
``__init__.pyi``.
"""

import importlib
import sys
from types import ModuleType
from typing import Any

__version__ = "0.1.0"

API = ("Comparison", "Results", "UserError", "compare", "from_pyg", "load", "read", "report", "run", "spec")
__all__ = ["__version__", *API]


def __getattr__(name: str) -> Any:
    if name not in API:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = "core.errors" if name == "UserError" else "library"
    return getattr(importlib.import_module(f"{__name__}.{module}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *API})


class _CallableModule(ModuleType):
    """A package that can be called as the function of its name: :mod:`pdadmm_bench.report` is both."""

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        return __getattr__(self.__name__.rpartition(".")[2])(*arguments, **options)


class _Package(ModuleType):
    """This package: a part that is imported under the name of a function becomes callable."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name in API and isinstance(value, ModuleType):
            value.__class__ = _CallableModule
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
