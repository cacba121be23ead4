"""Suite files: grids of runs, expanded to :class:`~pdadmm_bench.core.spec.RunSpec`.

Within an ``[[entry]]`` every list of values is an axis, and the entry is the product of its axes; the suite is the
union of its entries. An entry's keys win over those of ``[defaults]``. A run that several combinations name appears
once.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field

from pdadmm_bench.core import resources
from pdadmm_bench.core.errors import UserError, short, unknown
from pdadmm_bench.core.names import by_setting, setting_of, setting_word
from pdadmm_bench.core.spec import DataSpec, ModelSpec, RunSpec, run_spec
from pdadmm_bench.core.typed import Typed, build, read_toml
from pdadmm_bench.data.catalog import card_names, load_card
from pdadmm_bench.optim import contenders, registry
from pdadmm_bench.optim.hyperparameters import check as check_hyperparameters
from pdadmm_bench.suite.identity import configuration, effective
from pdadmm_bench.suite.search import Search, draw

SUITES, TUNING = "runners", "tuning/"
MOST_RUNS = 100_000
ALL = "all"

#: Settings of a run by the names they have in its spec and in a row; ``set`` is a table of its own.
SETTINGS = tuple(
    name
    for model in (DataSpec, ModelSpec, RunSpec)
    for name in model.model_fields
    if name not in ("data", "model", "set")
)
#: Axes that are given as a count or a list, as in ``--seeds``, and the setting that each gives values to.
COUNTED = {"seeds": "seed", "split_seeds": "split_seed"}
#: Keys of an entry that are axes.
AXES = (*(name for name in SETTINGS if name not in COUNTED.values()), *COUNTED)
#: What the hyperparameters of a run follow from.
CHOOSING = ("optimizer", "set", "preset", "dataset", "split", "layers", "hidden")
#: The axes that change slowest. So runs on the same data follow each other, and every setting has its first seed early.
OUTER = ("dataset", "split_seed", "seed")


class SuiteFile(Typed):
    """The tables of a suite file, before they are expanded."""

    summary: str = Field(description="one line about the suite")
    save: bool = Field(True, description="false: for trying out; rows and MLflow runs are kept apart")
    defaults: dict[str, Any] = {}
    entry: list[dict[str, Any]] = Field(min_length=1)
    exclude: list[dict[str, Any]] = []
    gate: dict[str, Any] = Field({}, description="thresholds of regress (pdadmm_bench.gate.thresholds)")


@dataclass(frozen=True)
class Suite:
    """The runs of one file, in the order in which they are made."""

    name: str
    summary: str
    save: bool
    specs: dict[str, RunSpec]
    """By their configuration (:func:`~pdadmm_bench.suite.identity.configuration`)."""
    local_only: frozenset[str]
    """Datasets that are left out where they are absent, rather than fetched."""
    duplicates: int
    """How many combinations name a run that an earlier combination names."""
    version: str
    """Hash of the runs with their hyperparameters: what the file asks for, however it is written down."""


def find(name: str) -> Path:
    """The file ``name`` if there is one, else the shipped suite of that name: ``smoke``, ``tuning/search``."""
    path = Path(name)
    if path.is_file():
        return path
    shipped = name.removeprefix(f"{SUITES}/").removesuffix(".toml")
    if found := resources.find(f"{SUITES}/{shipped}.toml"):
        return found
    if "/" in shipped and not shipped.startswith(TUNING):
        raise UserError(f"no such suite file: {name}")
    raise unknown("suite", name, names())


def names() -> list[str]:
    """The shipped suites. The other files beside them are speed files for ``profile``: their entries have names."""
    files = [*resources.names(SUITES), *(f"{TUNING}{name}" for name in resources.names(f"{SUITES}/{TUNING}"))]
    found = {name: resources.find(f"{SUITES}/{name}.toml") for name in files}
    return [name for name, path in found.items() if path and not _of_profile(read_toml(path))]


def _of_profile(tables: Mapping[str, Any]) -> bool:
    entries = tables.get("entry")
    return isinstance(entries, list) and any(isinstance(entry, dict) and "name" in entry for entry in entries)


def check(name: str, filters: Sequence[str] = ()) -> None:
    """Raise :class:`UserError` for every mistake in the suite ``name`` and in ``filters`` that is found without torch.

    What is left for :func:`read` are the hyperparameters of optimizers of other packages.
    """
    for text in filters:
        filter_of(text)
    _, asked = _expand(find(name))
    different = {json.dumps([spec.flat()[key] for key in CHOOSING]): (entry, spec) for entry, spec in asked}
    for entry, spec in different.values():
        entry.check_hyperparameters(spec)


def filter_of(text: str) -> tuple[str, str]:
    """The setting and the value of ``KEY=VALUE``; raises :class:`UserError` for anything else."""
    word, equals, value = (part.strip() for part in text.partition("="))
    if not equals or not value:
        raise UserError(f"--filter {text!r}: give KEY=VALUE, such as optimizer=pdadmm or layers=2,10")
    key = setting_of(word)
    if key not in SETTINGS:
        raise unknown("key in --filter", word, map(setting_word, SETTINGS))
    return key, value


def read(path: Path) -> Suite:
    """The suite in the file ``path``; raises :class:`UserError` for an invalid file."""
    file, asked = _expand(path)
    specs: dict[str, RunSpec] = {}
    local_only: set[str] = set()
    fetched: set[str] = set()
    for entry, plain in asked:
        spec = entry.effective(plain)
        specs.setdefault(configuration(spec), spec)
        (local_only if entry.local_only else fetched).add(spec.data.dataset)
    version = hashlib.sha256("\n".join(sorted(specs)).encode()).hexdigest()[:12]
    return Suite(
        name=path.stem,
        summary=file.summary,
        save=file.save,
        specs=specs,
        local_only=frozenset(local_only - fetched),
        duplicates=len(asked) - len(specs),
        version=version,
    )


def _expand(path: Path) -> tuple[SuiteFile, list[tuple[_Entry, RunSpec]]]:
    """The file, and every run that it asks for with the entry that does; no hyperparameter is looked at."""
    tables = read_toml(path)
    if _of_profile(tables):
        raise UserError(f"{path} is no suite, since its entries have names: pdadmm-bench profile measures such files")
    file = build(SuiteFile, tables, f"key of {path.name}:")
    entries = [_Entry(file, index, path.name) for index in range(len(file.entry))]
    count = sum(entry.size() for entry in entries)
    if count > MOST_RUNS:
        raise UserError(f"{path.name} asks for {count:,} runs; at most {MOST_RUNS:,} are possible")
    excludes = [_Exclude(table, f"{path.name}:") for table in file.exclude]
    asked = [(entry, spec) for entry in entries for spec in entry.specs(excludes)]
    for exclude in excludes:
        exclude.check_used()
    if not asked:
        raise UserError(f"{path.name} excludes every run that it asks for")
    return file, asked


class _Entry:
    """One ``[[entry]]`` combined with the defaults."""

    def __init__(self, file: SuiteFile, index: int, name: str):
        self._what = f"entry {index + 1} of {name}:"
        own = by_setting(file.entry[index], self._what)
        defaults = by_setting(file.defaults, f"defaults of {name}:")
        excludes = own.pop("exclude", [])
        if not isinstance(excludes, list):
            raise UserError(f"{self._what} exclude={short(excludes)} is not valid: give a list of tables")
        self._excludes = [_Exclude(table, self._what) for table in excludes]
        self._sets: list[dict[str, Any]] = []
        self._trials: dict[str, list[dict[str, Any]]] = {}
        for place, table in ((f"defaults of {name}:", defaults), (self._what, own)):
            valid = (*AXES, "set", "search", "local_only") + (("exclude",) if table is own else ())
            for key in table:
                if key not in valid:
                    raise unknown(f"key in {place}", key, map(setting_word, valid))
            self._sets.append(_set_table(place, table.get("set", {})))
        merged = {**defaults, **own}
        merged.pop("set", None)
        self.local_only = merged.pop("local_only", False)
        if not isinstance(self.local_only, bool):
            raise UserError(f"{self._what} local_only={self.local_only!r} is not valid: give true or false")
        self._search: Search | None = None
        if (search := merged.pop("search", None)) is not None:
            _check_table(self._what, "search", search, "search = { trials = 16 }")
            self._search = build(Search, search, f"{self._what} key of search:")
        self._axes = {COUNTED.get(key, key): self._values(key, value) for key, value in merged.items()}
        self._optimizers = self._axes.pop("optimizer", ["pdadmm"])
        for name in self._sets[1]:
            if isinstance(self._sets[1][name], dict) and name not in self._optimizers:
                registry.check(name)
                raise UserError(f"{self._what} set.{name}: {name} is not among the optimizers of this entry")

    def size(self) -> int:
        """How many combinations there are, before excludes."""
        common = math.prod(map(len, self._axes.values()))
        trials = self._search.trials if self._search else 1
        return common * sum(
            trials * math.prod(map(len, self._hyperparameters(name).values())) for name in self._optimizers
        )

    def specs(self, excludes: list[_Exclude]) -> Iterator[RunSpec]:
        """Every combination that no exclude removes."""
        names = sorted(self._axes, key=lambda name: OUTER.index(name) if name in OUTER else len(OUTER))
        for values in itertools.product(*(self._axes[name] for name in names)):
            settings = dict(zip(names, values, strict=True))
            for optimizer in self._optimizers:
                spec = {**settings, "optimizer": optimizer}
                # Every exclude is tried, not only the first that matches: two may remove the same run, and both count
                # as used.
                if True in {exclude.takes(spec) for exclude in (*self._excludes, *excludes)}:
                    continue
                for chosen in self._grid(optimizer):
                    yield self._spec({**spec, "set": chosen})
        for exclude in self._excludes:
            exclude.check_used()

    def effective(self, spec: RunSpec) -> RunSpec:
        """``spec`` without the settings that have no effect in it."""
        with self._named():
            return effective(spec)

    def check_hyperparameters(self, spec: RunSpec) -> None:
        """Raise :class:`UserError` for hyperparameters of ``spec`` that are not valid."""
        with self._named():
            check_hyperparameters(spec)

    def _spec(self, values: dict[str, Any]) -> RunSpec:
        with self._named():
            return run_spec(values)

    @contextlib.contextmanager
    def _named(self) -> Iterator[None]:
        """In the block, errors of a setting name the entry."""
        try:
            yield
        except UserError as error:
            text = str(error).removeprefix("run option: ").removeprefix("run option ")
            raise UserError(f"{self._what} {text}") from None

    def _values(self, key: str, value: Any) -> list[Any]:
        """The values of one axis, each once."""
        counted = key in COUNTED and isinstance(value, int) and not isinstance(value, bool)
        if counted and value > MOST_RUNS:  # before there is a list of them
            raise UserError(f"{self._what} {key}={value} is not valid: a suite has at most {MOST_RUNS:,} runs")
        values = list(range(value)) if counted else value if isinstance(value, list) else [value]
        if not values:
            raise UserError(f"{self._what} {key}={value!r} is not valid: give at least one value")
        if key == "optimizer":
            values = [name for item in values for name in (contenders() if item == ALL else [item])]
            for name in values:
                registry.check(str(name))
        if key == "dataset":
            values = [name for item in values for name in (_graphs() if item == ALL else [item])]
            for name in values:
                load_card(str(name))
        return list({json.dumps(item, default=str): item for item in values}.values())

    def _grid(self, optimizer: str) -> list[dict[str, Any]]:
        """Every combination of ``set``, with every trial of a search."""
        axes = self._hyperparameters(optimizer)
        grid = [dict(zip(axes, chosen, strict=True)) for chosen in itertools.product(*axes.values())]
        if self._search is None:
            return grid
        if optimizer not in self._trials:
            self._trials[optimizer] = draw(optimizer, self._search)
        return [{**trial, **values} for trial in self._trials[optimizer] for values in grid]

    def _hyperparameters(self, optimizer: str) -> dict[str, list[Any]]:
        """The axes of ``set`` for one optimizer.

        The entry overrides the defaults; within each, the optimizer's own table overrides the common values.
        """
        merged: dict[str, Any] = {}
        for table in self._sets:
            merged |= {key: value for key, value in table.items() if not isinstance(value, dict)}
            merged |= table.get(optimizer, {})
        return {key: self._values(f"set.{key}", value) for key, value in merged.items()}


class _Exclude:
    """Settings with values. It removes the runs in which every setting has one of its values."""

    def __init__(self, table: Any, what: str):
        self._what = f"{what} exclude"
        if not isinstance(table, dict) or not table:
            raise UserError(f"{self._what} {table!r} is not valid: give a table such as {{ optimizer = 'adam' }}")
        self._given, self._table = table, by_setting(table, f"{self._what}:")
        for key in self._table:
            if key not in SETTINGS:
                raise unknown(f"key in {self._what}", key, map(setting_word, SETTINGS))
        self._used = False

    def takes(self, settings: Mapping[str, Any]) -> bool:
        """Whether the run with these ``settings`` is removed."""
        for key, values in self._table.items():
            value = settings.get(key, DEFAULTS.get(key))
            if value not in (values if isinstance(values, list) else [values]):
                return False
        self._used = True
        return True

    def check_used(self) -> None:
        """Raise for an exclude that matches no run: most likely one of its values is misspelt."""
        if not self._used:
            raise UserError(f"{self._what} {self._given} matches no run")


#: The values of the settings that a suite file does not give.
DEFAULTS = RunSpec().flat()


def _set_table(place: str, value: Any) -> dict[str, Any]:
    example = "set = { rho = 1e-3 }, or set.adam = { lr = 1e-3 }"
    _check_table(place, "set", value, example)
    for name in registry.names():
        _check_table(place, f"set.{name}", value.get(name, {}), example)
    for name in (key for key, item in value.items() if isinstance(item, dict)):
        registry.check(name)
    return value


def _check_table(place: str, key: str, value: Any, example: str) -> None:
    if not isinstance(value, dict):
        raise UserError(f"{place} {key} is a table: {example}")


def _graphs() -> list[str]:
    """Every dataset that has files; generated datasets have none."""
    return [name for name in card_names() if load_card(name).files]
