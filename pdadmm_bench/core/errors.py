"""Errors a user can act on.

A :class:`UserError` carries one complete message: what was wrong, with the value, and what would be right. The
command line prints it without a traceback and exits with its ``exit_code``. Any other exception is a defect of the
program.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

_SHORT = 120
"""Characters of a value that a message repeats."""


class UserError(ValueError):
    """A mistake or an environment the user can change; the message says how."""

    exit_code = 2


class DataError(UserError):
    """A dataset's files are missing, unverified or not what its card says."""


class TrackingError(UserError):
    """The MLflow store cannot be reached or written."""


class Unreachable(RuntimeError):
    """An exchange failed because another worker ended or does not answer: a consequence, never the cause."""


def short(value: object) -> str:
    """``repr(value)`` for a message; of a very long one the beginning."""
    text = repr(value)
    return text if len(text) <= _SHORT else f"{text[:_SHORT]}…"


def unknown(kind: str, name: str, valid: Iterable[str]) -> UserError:
    """The error for a name that is not among the ``valid`` ones: the nearest first, then all of them."""
    valid = sorted(valid)
    shown = short(name)
    near = difflib.get_close_matches(name, valid, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}? " if near else ""
    return UserError(f"unknown {kind} {shown}: {hint}valid: {', '.join(valid) or '(none)'}")
