"""Code in a Python process of its own, for tests of what a process imports."""

from __future__ import annotations

import subprocess
import sys


def run_in_fresh_python(code: str) -> list[str]:
    """The lines that ``code`` prints; fails with what it says where it does not end with 0."""
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    return answer.stdout.splitlines()
