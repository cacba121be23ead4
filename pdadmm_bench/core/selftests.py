"""The record of the self-test on this machine: what it found last, for ``doctor`` and for the rows of a GPU.

A record is a file of JSON lines in the cache: first what was tested and where, then one line per check, and at the end
of a complete pass the verdict of all.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pdadmm_bench.core.files import parse_json

VERSION = 1
"""Raised when the checks change so that an earlier pass no longer counts."""


def record_file(cache: Path, device: str) -> Path:
    """Where the record for this kind of device is."""
    return cache / "selftest" / f"{device}.jsonl"


def read(file: Path) -> list[dict[str, Any]]:
    """The lines of a record, as far as they are whole; none where there is no record."""
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return []
    lines: list[dict[str, Any]] = []
    for line in text.splitlines():
        try:
            value = parse_json(line)
        except ValueError:
            break  # the process was killed while it wrote
        if not isinstance(value, dict):
            break
        lines.append(value)
    return lines


def verdict(file: Path) -> Mapping[str, Any] | None:
    """The last line of a complete pass of this version: ``verdict`` and ``finished``; None where there is none."""
    lines = read(file)
    complete = len(lines) > 1 and lines[0].get("selftest") == VERSION and "finished" in lines[-1]
    return lines[-1] if complete else None


def passed_version(cache: Path, device: str) -> str | None:
    """``1, passed 2026-11-28`` for a self-test that passed on this machine; None where none has."""
    found = verdict(record_file(cache, device))
    return f"{VERSION}, passed {found['finished'][:10]}" if found and found["verdict"] == "ok" else None
