"""Typed configuration: every set of options is a frozen pydantic model, built in one place with one kind of error.

Run specifications, hyperparameters, dataset cards and configuration files all use it. So the error for an unknown key
always names the valid keys, and the error for a bad value always says what is allowed.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from pdadmm_bench.core.errors import UserError, short, unknown


class Typed(BaseModel):
    """Base of every configuration model: immutable, no unknown keys, no NaN or infinity."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, validate_default=True)


T = TypeVar("T", bound=Typed)


def build(model: type[T], values: Mapping[str, Any], what: str) -> T:
    """``model(**values)``, with every mistake turned into a :class:`UserError`.

    ``what`` names the thing being configured in the message, such as ``"hyperparameter of adam"``.
    """
    for key in values:
        if key not in model.model_fields:
            raise unknown(what, key, model.model_fields)
    try:
        return model(**values)
    except ValidationError as error:
        raise UserError("; ".join(_sentence(item, what) for item in error.errors())) from None


def _sentence(item: Any, what: str) -> str:
    name = ".".join(str(part) for part in item["loc"] if isinstance(part, str))
    message = item["msg"].removeprefix("Value error, ")
    message = message[:1].lower() + message[1:]
    if not name:
        return f"{what.removesuffix(':')}: {message}"
    if item["type"] == "missing":
        return f"{what} {name} is required"
    return f"{what} {name}={short(item['input'])} is not valid: {message}"


def read_toml(path: Path) -> dict[str, Any]:
    """The tables of a TOML file; a missing or malformed file is a :class:`UserError` with the position."""
    try:
        with path.open("rb") as file:
            return tomllib.load(file)
    except FileNotFoundError:
        raise UserError(f"no such file: {path}") from None
    except RecursionError:
        raise UserError(f"{path} is not valid TOML: its brackets are nested too deeply") from None
    except ValueError as error:  # bytes that are no text, and numbers of too many digits, too
        raise UserError(f"{path} is not valid TOML: {str(error).splitlines()[0]}") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from None
