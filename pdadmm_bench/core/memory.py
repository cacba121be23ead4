"""Peak memory of one run."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

_RESET_PEAK = "5"  # proc(5): writing 5 to clear_refs resets VmHWM


def reset_peak() -> None:
    """Forget the process's earlier peak, where the system allows it (Linux)."""
    try:
        Path("/proc/self/clear_refs").write_text(_RESET_PEAK)
    except OSError:
        return


def peak_bytes() -> int:
    """Largest resident set of this process in bytes since :func:`reset_peak` (elsewhere: since it started)."""
    try:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
