"""Tries to make the program lose, hang or lie, case by case, and counts what held.

    python tools/studies/torture.py FOLDER                        every case of every area
    python tools/studies/torture.py FOLDER --area inputs --most 50

Areas: ``inputs`` (malformed arguments and files), ``checkpoints`` (damaged, cut, foreign), ``workers`` (killed and
stopped in each phase, also under torchrun), ``suites`` (killed at random moments, two at once, a full disk, the clock
set back), ``tracking`` (stores that are locked, damaged or gone, servers that are killed). The cases follow from
``--seed``. ``FOLDER/found.jsonl`` has a line for each case that was tried, so the same command goes on where it was
stopped; ``--again`` tries those anew that did not hold. At the end the cases that were tried and lost are counted,
and ``FOLDER/rows.json.gz`` has the results, of which tools/docs/studies.py makes the table of docs/reliability.md.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kept import where

from pdadmm_bench.core.rows import write_rows

AREAS = ("inputs", "checkpoints", "workers", "suites", "tracking")


@dataclass(frozen=True)
class Case:
    """One thing that is tried."""

    area: str
    name: str
    """Says what is done; with the seed it is the same in every start."""
    attempt: Callable[[Path], str | None]
    """Does it in an empty folder; what went wrong, or None where the program held."""
    command: str = ""


Found = dict[str, Any]
"""What became of one case: its ``area``, ``name`` and ``command``, what was ``lost`` (None where the program held),
``seconds``, and the machine and the commit.
"""


def cases(area: str, seed: int) -> list[Case]:
    """The cases of an area, in an order in which any number of the first is a sample of all."""
    # Imported here: what is refused before torch is imported is tried in a process that has not imported it.
    if area == "inputs":
        from torture_inputs import cases as of_area
    elif area == "checkpoints":
        from torture_checkpoints import cases as of_area
    elif area == "workers":
        from torture_processes import workers as of_area
    elif area == "suites":
        from torture_suites import suites as of_area
    else:
        from torture_stores import tracking as of_area
    found = list(of_area(seed))
    random.Random(seed).shuffle(found)
    return found


def torture(
    folder: Path, areas: list[str], seed: int, most: int | None = None, again: bool = False, only: str = ""
) -> list[Found]:
    """Try the first ``most`` cases of each area, of those whose name has ``only`` in it, that ``folder`` has no result
    of; return all results.
    """
    folder.mkdir(parents=True, exist_ok=True)
    record = folder / "found.jsonl"
    lines = record.read_text().splitlines() if record.exists() else []
    found: dict[tuple[str, str], Found] = {(one["area"], one["name"]): one for one in map(json.loads, lines)}
    facts = where()
    for area in areas:
        for case in [case for case in cases(area, seed) if only in case.name][:most]:
            before = found.get((area, case.name))
            if before is not None and not (again and before["lost"]):
                continue
            place = folder / "work"
            shutil.rmtree(place, ignore_errors=True)
            place.mkdir()
            began = time.monotonic()
            lost = case.attempt(place)
            seconds = round(time.monotonic() - began, 2)
            one = {"area": area, "name": case.name, "command": case.command, "lost": lost, "seconds": seconds, **facts}
            found[area, case.name] = one
            with record.open("a") as file:
                file.write(json.dumps(one, ensure_ascii=False) + "\n")
            if lost:
                print(f"lost: {area}: {case.name}: {lost}", file=sys.stderr, flush=True)
    return list(found.values())


def counts(found: list[Found]) -> str:
    """How many cases of each area were tried, and lost."""
    areas = Counter(one["area"] for one in found)
    lost = Counter(one["area"] for one in found if one["lost"])
    lines = [f"{area}: {areas[area]:,} tried, {lost[area]:,} lost" for area in AREAS if areas[area]]
    return "\n".join([*lines, f"all: {areas.total():,} tried, {lost.total():,} lost"])


def main(arguments: list[str] | None = None) -> int:
    """Try, keep and count; return 1 where something was lost."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path, help="where results and the files of a case are kept")
    parser.add_argument("--area", action="append", choices=AREAS, help="repeatable [default: all]")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--most", type=int, help="at most so many cases of each area")
    parser.add_argument("--only", default="", help="only cases with this in their name")
    parser.add_argument("--again", action="store_true", help="try those again that were lost")
    given = parser.parse_args(arguments)
    found = torture(given.folder.absolute(), given.area or list(AREAS), given.seed, given.most, given.again, given.only)
    write_rows(given.folder / "rows.json.gz", found)
    print(counts(found))
    return int(any(one["lost"] for one in found))


if __name__ == "__main__":
    sys.exit(main())
