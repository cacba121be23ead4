"""Pairs the rows of two sides that have the same problem and start, and gives the reason why others have no partner.

A setting is compared where the sides have no value of it in common and one side has a single value: ``pdadmm`` against
``adam``, or 1 worker against 2. All other settings have to agree. Dataset, features and network are never
compared. Rows without a partner are counted under the reason.
"""

from __future__ import annotations

import itertools
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from pdadmm_bench.core.errors import UserError, unknown
from pdadmm_bench.core.names import setting_of
from pdadmm_bench.core.rows import Row
from pdadmm_bench.core.spec import recorded_spec

#: The problem and the network. They are never compared.
DATA = (
    "dataset", "split", "hops", "normalize", "feature_scale", "train_per_class", "num_val", "num_test",
    "train_fraction", "stratified", "split_index", "reduce",
)  # fmt: skip
NETWORK = ("layers", "hidden")

#: These settings are compared where the two whole sides have no value in common. Other settings are compared where the
#: rows of one dataset, network and value of these have none in common.
MAIN = ("optimizer", "gpus")

#: The seeds. Both rows of a pair have the same seeds; a comparison has pairs of many.
REPEATED = ("split_seed", "seed")

#: The settings of a row without specification, by the columns that stand for them.
COLUMNS = {
    "dataset": "dataset_name", "split": "dataset_split", "hops": "dataset_hops", "normalize": "dataset_normalize",
    "feature_scale": "dataset_feature_scale", "reduce": "dataset_reduce",
    "layers": "model_layers", "hidden": "model_hidden", "init": "model_init", "optimizer": "optimizer_name",
    "gpus": "dist_workers", "device": "dist_device",
}  # fmt: skip

#: Settings that have no effect with a single worker.
LAYOUT = ("mesh", "partition", "wire", "schedule", "microbatches")

Settings = dict[str, Any]


@dataclass
class PairGroup:
    """Pairs whose settings are the same, apart from the seeds."""

    a: Settings
    b: Settings
    pairs: list[tuple[Row, Row]] = field(default_factory=list)

    def value(self, name: str) -> Any:
        """A setting of both sides, ``x → y`` where they differ."""
        a, b = self.a.get(name), self.b.get(name)
        return a if a == b else f"{a} → {b}"

    @property
    def compared(self) -> list[str]:
        """The settings on which the sides differ."""
        return sorted(name for name in self.a.keys() | self.b.keys() if self.a.get(name) != self.b.get(name))


@dataclass(frozen=True)
class Pairing:
    """All pairs, and the rows of each side without a partner, counted under the reason."""

    groups: list[PairGroup]
    unpaired_a: Counter[str]
    unpaired_b: Counter[str]


def settings(row: Row) -> Settings:
    """The flat settings of a run without seeds: from the row's specification, or the columns that stand for it.

    Hyperparameters set by hand are settings of their own. Raises :class:`UserError` for a broken specification.
    """
    if not row.get("spec"):
        return {name: row.get(column) for name, column in COLUMNS.items()}
    try:
        asked = recorded_spec(row["spec"])
    except (TypeError, ValueError):
        raise UserError(f"row {row.get('run_id')}: its spec is not a JSON object: {row['spec']!r:.80}") from None
    chosen = asked.pop("set", None) or {}
    asked["dataset"] = row.get("dataset_name") or asked.get("dataset")  # parameters in one order
    if asked.get("split") == "auto" and row.get("dataset_split"):
        asked["split"] = str(row["dataset_split"]).split()[0]  # "given 3" has its index as a setting
    meaningless = {*REPEATED, *(LAYOUT if asked.get("gpus") == 1 else ())}
    if "dist_schedule" in row and row["dist_schedule"] is None:  # where there is no pipeline
        meaningless |= {"schedule", "microbatches"}
    return {name: value for name, value in {**asked, **chosen}.items() if name not in meaningless}


def setting_name(name: str, rows: Iterable[Row]) -> str:
    """The setting or seed that ``name`` means, which may be a column; raises :class:`UserError` if there is none."""
    valid = {key for row in rows for key in settings(row)} | set(REPEATED)
    aliases = {column: key for key, column in COLUMNS.items()} | {"dataset_split_seed": "split_seed"}
    found = setting_of(aliases.get(name, name))
    if found not in valid:
        raise unknown("setting", name, valid)
    return found


def rows_with(rows: Sequence[Row], texts: Sequence[str], source: str) -> list[Row]:
    """The rows of ``source`` with every setting that ``texts`` (``name=value``) name; raises :class:`UserError`.

    A setting is compared as text. A repeated quantity, such as the seed, can be named too.
    """
    kept = list(rows)
    for text in texts:
        name, equals, value = (part.strip() for part in text.partition("="))
        if not (name and equals and value):
            raise UserError(f"{text!r}: give name=value, such as optimizer=pdadmm")
        name = setting_name(name, rows)
        found = [row for row in kept if _value(row, name) == value]
        if not found:
            there = ", ".join(sorted({_value(row, name) for row in kept}))
            raise UserError(f"{source} has no row with {name}={value}; it has {there}")
        kept = found
    return kept


def _value(row: Row, name: str) -> str:
    values = settings(row) | dict(zip(REPEATED, repetition(row), strict=True))
    return str(values.get(name))


def repetition(row: Row) -> tuple[Any, ...]:
    """The seeds that a pair shares."""
    return row.get("dataset_split_seed"), row["seed"]


def device_class(row: Row) -> str:
    """The class of machine that a row's times were measured on, in words: processor, cores, device and accelerator.

    Times may be compared within one class. The gate's class (:func:`pdadmm_bench.core.env.machine_class`) is narrower:
    the gate compares with seconds of another day, so the build of torch counts too.
    """
    device = row.get("dist_device")
    text = f"{row.get('env_cpu')}, {row.get('env_cores')} cores, {device}"
    return f"{text} {row.get('env_gpu_count')} × {row.get('env_gpu')}" if device == "cuda" else text


def pair(a: Sequence[Row], b: Sequence[Row], compared: Iterable[str] = ()) -> Pairing:
    """Every row of ``a`` with the row of ``b`` of the same settings and seeds; repeats in the order they were run.

    The settings in ``compared`` need not agree, whatever values they have.
    """
    compared = set(compared)
    side_a, side_b = _by_settings(a), _by_settings(b)
    all_a, all_b = ([found for found, _ in side.values()] for side in (side_a, side_b))
    compared |= {name for name in MAIN if _is_compared(name, all_a, all_b)}
    groups = [PairGroup(one, other) for one, other in _matches(all_a, all_b, compared)]
    for group in groups:
        group.pairs = _pairs(side_a[_key(group.a)][1], side_b[_key(group.b)][1])
    used_a = {id(row) for group in groups for row, _ in group.pairs}
    used_b = {id(row) for group in groups for _, row in group.pairs}
    return Pairing(
        [group for group in groups if group.pairs],
        _reasons(side_a, used_a, [group.a for group in groups], all_b, compared),
        _reasons(side_b, used_b, [group.b for group in groups], all_a, compared),
    )


_Side = dict[str, tuple[Settings, list[Row]]]


def _by_settings(rows: Iterable[Row]) -> _Side:
    side: _Side = {}
    for row in rows:
        found = settings(row)
        side.setdefault(_key(found), (found, []))[1].append(row)
    return side


def _key(values: Any) -> str:
    return json.dumps(values, sort_keys=True, default=str)


def _matches(a: Sequence[Settings], b: Sequence[Settings], compared: set[str]) -> Iterator[tuple[Settings, Settings]]:
    """The settings of both sides that belong together."""
    fixed = {*DATA, *NETWORK, *MAIN} - compared
    for block_a, block_b in itertools.product(_blocks(a), _blocks(b)):
        if any(block_a[0].get(name) != block_b[0].get(name) for name in fixed):
            continue
        names = {name for found in (*block_a, *block_b) for name in found} - {*DATA, *NETWORK, *MAIN} - compared
        if 1 in (block_a[0].get("gpus"), block_b[0].get("gpus")):
            names -= {*LAYOUT}  # a single worker has none of them, and is compared with every layout
        agree = [name for name in names if not _is_compared(name, block_a, block_b)]
        for one, other in itertools.product(block_a, block_b):
            if all(one.get(name) == other.get(name) for name in agree):
                yield one, other


def _blocks(side: Iterable[Settings]) -> list[list[Settings]]:
    """Settings that share problem, network and main settings."""
    blocks: dict[str, list[Settings]] = defaultdict(list)
    for found in side:
        blocks[_key([found.get(name) for name in (*DATA, *NETWORK, *MAIN)])].append(found)
    return list(blocks.values())


def _is_compared(name: str, a: Iterable[Settings], b: Iterable[Settings]) -> bool:
    values_a, values_b = ({_key(found.get(name)) for found in side} for side in (a, b))
    return min(len(values_a), len(values_b)) == 1 and values_a.isdisjoint(values_b)


def _pairs(a: Iterable[Row], b: Iterable[Row]) -> list[tuple[Row, Row]]:
    repeats: dict[Any, list[Row]] = defaultdict(list)
    for row in sorted(b, key=_created):
        repeats[repetition(row)].append(row)
    return [(row, repeats[repetition(row)].pop(0)) for row in sorted(a, key=_created) if repeats.get(repetition(row))]


def _created(row: Row) -> str:
    return str(row.get("created") or "")


def _reasons(
    side: _Side, used: set[int], partnered: Sequence[Settings], others: Sequence[Settings], compared: set[str]
) -> Counter[str]:
    counts: Counter[str] = Counter()
    keys = {_key(found) for found in partnered}
    for key, (found, rows) in side.items():
        left = sum(id(row) not in used for row in rows)
        if left:
            counts["no other run with this seed and split" if key in keys else _nearest(found, others, compared)] += (
                left
            )
    return counts


def _nearest(found: Settings, others: Sequence[Settings], compared: set[str]) -> str:
    """Why ``found`` has no partner: how it differs from the most similar settings of the other side."""
    if not others:
        return "the other side has no run"
    kinds = {"dataset": DATA[:1], "data": DATA[1:], "network": NETWORK, "main setting": MAIN}

    def departures(other: Settings) -> list[list[str]]:
        names = (found.keys() | other.keys()) - compared
        differing = sorted(name for name in names if found.get(name) != other.get(name))
        known = [[name for name in differing if name in kind] for kind in kinds.values()]
        return [*known, [name for name in differing if not any(name in part for part in known)]]

    best = min(others, key=lambda other: [len(names) for names in departures(other)])
    kind, names = next(
        (kind, names) for kind, names in zip((*kinds, "setting"), departures(best), strict=True) if names
    )
    if kind in ("dataset", "main setting"):
        return "no other run with " + ", ".join(f"{name} {found.get(name)}" for name in names)
    return f"different {kind}: " + ", ".join(f"{name} {found.get(name)} (there {best.get(name)})" for name in names)
