"""The plan of the package holds: who may import whom, what stays private, and how large a part may become."""

from __future__ import annotations

import ast
import tomllib
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from importlinter.cli import lint_imports

import pdadmm_bench

PACKAGE = Path(pdadmm_bench.__file__).parent
ROOT = PACKAGE.parent
MODULES = sorted(PACKAGE.rglob("*.py"))
MOST_LINES = 400
MOST_LINES_OF_CLI = 3_000
LARGEST_PACKAGE = 0.15
"""Of the lines of the whole program."""
OF_NAMED_TUPLES = ("_replace", "_asdict", "_fields", "_make")
"""Public, in spite of the underscore."""


def relative(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def lines(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


def imported(module: ast.Module) -> set[str]:
    """The names of all modules that ``module`` imports, within functions too."""
    found = set()
    for node in ast.walk(module):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "imports name the whole module"
            found.add(str(node.module))
    return found


def private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def test_the_import_rule_holds(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.syspath_prepend(str(ROOT))
    code = lint_imports(config_filename=str(ROOT / "pyproject.toml"), no_cache=True)
    assert code == 0, capsys.readouterr().out


def test_only_the_command_line_knows_typer() -> None:
    users = {
        relative(path) for path in MODULES if any(name.partition(".")[0] == "typer" for name in imported(tree(path)))
    }
    assert {name for name in users if not name.startswith("cli/")} == set()


def test_no_private_name_crosses_modules() -> None:
    found = {relative(path): list(crossings(tree(path))) for path in MODULES}
    assert {module: names for module, names in found.items() if names} == {}


def crossings(module: ast.Module) -> Iterator[str]:
    """The private names of other modules of this package that ``module`` uses.

    Such a name is imported, or it is an attribute that nothing in ``module`` defines. ``self._name``, ``super()._name``
    and what ``cls()`` made belong to the class, wherever its parent is; ``os._exit`` belongs to another package.
    """
    nodes = list(ast.walk(module))
    defined = {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    defined |= {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    defined |= {node.attr for node in nodes if isinstance(node, ast.Attribute) and root(node) == "self"}
    foreign = foreign_names(module)
    instances = {name for node in nodes if isinstance(node, ast.Assign) for name in made_by_its_class(node)}
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("pdadmm_bench"):
            yield from (f"{node.module}.{alias.name}" for alias in node.names if private(alias.name))
        elif isinstance(node, ast.Attribute) and private(node.attr):
            known = node.attr in defined or node.attr in OF_NAMED_TUPLES
            if not known and root(node.value) not in ("self", "cls", "super", *instances, *foreign):
                yield ast.unparse(node)


def root(node: ast.expr) -> str:
    """The name that an expression such as ``os.path.join(a)`` begins with."""
    while not isinstance(node, ast.Name):
        if isinstance(node, ast.Attribute):
            node = node.value
        elif isinstance(node, ast.Call):
            node = node.func
        else:
            return ""
    return node.id


def made_by_its_class(node: ast.Assign) -> list[str]:
    """The variables that a class method gives a new object of its class: ``made = cls()``."""
    own = isinstance(node.value, ast.Call) and root(node.value) == "cls"
    return [target.id for target in node.targets if isinstance(target, ast.Name)] if own else []


def foreign_names(module: ast.Module) -> set[str]:
    """The names in ``module`` that stand for other packages, or that are taken from these at its top."""
    found = set()
    for node in ast.walk(module):
        if isinstance(node, ast.Import):
            found |= {alias.asname or alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not str(node.module).startswith("pdadmm_bench"):
            found |= {alias.asname or alias.name for alias in node.names}
    for node in module.body:
        if isinstance(node, ast.Assign) and root(node.value) in found:
            found |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    return found


@pytest.mark.parametrize(
    "code",
    [
        "from pdadmm_bench.core.env import _git",
        "from pdadmm_bench.core import env\nenv._git()",
        "def f():\n    from pdadmm_bench.core.env import _git",
        "from pdadmm_bench.tracking import Tracker\nTracker()._end()",
    ],
)
def test_a_private_name_that_crosses_is_found(code: str) -> None:
    assert len(list(crossings(ast.parse(code)))) == 1


def test_every_module_is_short_enough_to_be_read() -> None:
    sizes = {relative(path): lines(path) for path in MODULES}
    assert {module: size for module, size in sizes.items() if size > MOST_LINES} == {}


def test_the_command_line_stays_thin() -> None:
    assert sum(map(lines, (PACKAGE / "cli").rglob("*.py"))) < MOST_LINES_OF_CLI


def test_every_package_goes_into_the_wheel() -> None:
    """setuptools takes the packages that pyproject.toml lists; tests/packaging builds a wheel, which takes longer."""
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]["packages"]
    there = {".".join(path.parent.relative_to(ROOT).parts) for path in PACKAGE.rglob("__init__.py")}
    assert there == {name for name in listed if not name.startswith("pdadmm_bench.share")}


def test_no_package_holds_most_of_the_code() -> None:
    sizes: Counter[str] = Counter()
    for path in MODULES:
        sizes[relative(path).partition("/")[0]] += lines(path)
    total = sizes.total()
    shares = {name: count / total for name, count in sizes.items()}
    assert {name: share for name, share in shares.items() if share > LARGEST_PACKAGE} == {}
