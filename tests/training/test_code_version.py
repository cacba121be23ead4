"""Which source counts as the code of a run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from pdadmm_bench.optim import contenders, registry
from pdadmm_bench.training.code_version import LEFT_OUT, ROOTS, code_files, code_version, source


def test_every_module_that_is_named_exists() -> None:
    assert [name for name in (*ROOTS, *LEFT_OUT) if source(name) is None] == []


def test_the_code_of_a_run_is_what_its_numbers_come_from() -> None:
    ours = {name: set(code_files(name)) for name in contenders()}
    for name, modules in ours.items():
        assert {"pdadmm_bench.training.run", "pdadmm_bench.models.mlp", "pdadmm_bench.optim.base"} <= modules
        assert {"pdadmm_bench.data.load", "pdadmm_bench.data.features", "pdadmm_bench.parallel.pipeline"} <= modules
        assert registry.get(name).__module__ in modules
        assert not [
            module
            for module in modules
            if module.split(".")[1] in ("cli", "gate", "suite", "timing", "tracking", "report")
        ]
        # A method of its own does not depend on the others.
        for other in {"pdadmm", "sgd", "adam"} - {name}:
            if name in ("pdadmm", "sgd", "adam"):
                assert f"pdadmm_bench.optim.{other}" not in modules
    assert "pdadmm_bench.optim.admm.pdadmm" in ours["pdadmm-q"]  # which is built on it
    assert "pdadmm_bench.optim.admm.elementwise" in ours["pdadmm"] - ours["adam"]


def test_a_change_is_seen_where_it_matters(install: Callable[..., Path]) -> None:
    """The package of a third party: its optimizer, what that imports, and what it does not."""
    folder = install("pdadmm_bench.optimizers", mine="elsewhere.method:Mine") / "elsewhere"
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "method.py").write_text(
        "from pdadmm_bench.optim.gradient.adam import Adam\nfrom . import step\n\nclass Mine(Adam):\n    pass\n"
    )
    (folder / "step.py").write_text("SIZE = 1\n")
    (folder / "plots.py").write_text("COLOUR = 'red'\n")
    try:
        before, adam = code_version("mine"), code_version("adam")
        (folder / "plots.py").write_text("COLOUR = 'blue'\n")
        assert code_version("mine") == before
        (folder / "step.py").write_text("SIZE = 2\n")
        assert code_version("mine") != before
        assert code_version("adam") == adam
        assert {"elsewhere.step", "pdadmm_bench.optim.gradient.adam"} <= set(code_files("mine"))
    finally:
        code_files.cache_clear()
