"""Tries to make the program lose, hang or lie, case by case, and counts what held.

    python tools/studies/torture.py FOLDER                        every case of every area
    python tools/studies/torture.py FOLDER --area inputs --most 50

Areas: ``inputs`` (malformed arguments and files), ``checkpoints`` (damaged, cut, foreign), ``workers`` (killed and
stopped in each phase, also under torchrun), ``suites`` (killed at random moments, two at once, a full disk, the clock
set back), ``tracking`` (stores that are locked, damaged or gone, servers that are killed). The cases follow from
``--seed``. ``FOLDER/found.jsonl`` has a line for each case that was tried, so the same command goes on where it was
stopped; ``--again`` tries those anew that did not hold. The table at the end has for each area the number of cases
tried, held and lost, and the command of the first that was lost.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

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


@dataclass(frozen=True)
class Found:
    """What became of one case."""

    area: str
    name: str
    command: str
    lost: str | None
    seconds: float


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
    found = {(one.area, one.name): one for one in (Found(**json.loads(line)) for line in lines)}
    for area in areas:
        for case in [case for case in cases(area, seed) if only in case.name][:most]:
            before = found.get((area, case.name))
            if before is not None and not (again and before.lost):
                continue
            place = folder / "work"
            shutil.rmtree(place, ignore_errors=True)
            place.mkdir()
            began = time.monotonic()
            lost = case.attempt(place)
            one = Found(area, case.name, case.command, lost, round(time.monotonic() - began, 2))
            found[area, case.name] = one
            with record.open("a") as file:
                file.write(json.dumps(asdict(one), ensure_ascii=False) + "\n")
            if lost:
                print(f"lost: {area}: {case.name}: {lost}", file=sys.stderr, flush=True)
    return list(found.values())


def table(found: list[Found]) -> str:
    """The counts by area, as Markdown."""
    lines = ["| area | tried | held | lost | first lost |", "|---|---:|---:|---:|---|"]
    for area in (*AREAS, "all"):
        mine = [one for one in found if area in (one.area, "all")]
        lost = [one for one in mine if one.lost]
        first = f"`{lost[0].command or lost[0].name}`: {lost[0].lost}" if lost and area != "all" else ""
        lines.append(f"| {area} | {len(mine):,} | {len(mine) - len(lost):,} | {len(lost):,} | {first} |")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """Try, print the table, and return 1 where something was lost."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path, help="where results and the files of a case are kept")
    parser.add_argument("--area", action="append", choices=AREAS, help="repeatable [default: all]")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--most", type=int, help="at most so many cases of each area")
    parser.add_argument("--only", default="", help="only cases with this in their name")
    parser.add_argument("--again", action="store_true", help="try those again that were lost")
    given = parser.parse_args(arguments)
    found = torture(given.folder.absolute(), given.area or list(AREAS), given.seed, given.most, given.again, given.only)
    print(table(found))
    return int(any(one.lost for one in found))


if __name__ == "__main__":
    sys.exit(main())
