"""Typed options: what is read, and how a mistake is told."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Literal

import pytest
from pydantic import Field, model_validator

from pdadmm_bench.core.errors import UserError
from pdadmm_bench.core.typed import Typed, build, read_toml


class Options(Typed):
    count: int = Field(1, ge=1)
    rate: float = Field(0.5, gt=0)
    kind: Literal["a", "b"] = "a"
    name: str = "x"

    @model_validator(mode="after")
    def _together(self) -> Options:
        if self.kind == "b" and self.count == 1:
            raise ValueError("Two are needed for b")
        return self


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"cont": 1}, "unknown option 'cont': did you mean count? valid: count, kind, name, rate"),
        ({"count": 0}, "option count=0 is not valid: input should be greater than or equal to 1"),
        ({"count": "x"}, "option count='x' is not valid: input should be a valid integer"),
        ({"count": 1.5}, "option count=1.5 is not valid: input should be a valid integer"),
        ({"rate": -1.0}, "option rate=-1.0 is not valid: input should be greater than 0"),
        ({"rate": math.nan}, "option rate=nan is not valid: input should be a finite number"),
        ({"rate": math.inf}, "option rate=inf is not valid: input should be a finite number"),
        ({"kind": "c"}, "option kind='c' is not valid: input should be 'a' or 'b'"),
        ({"kind": "b"}, "option: two are needed for b"),
        ({"count": 0, "rate": 0}, "option count=0 is not valid: .*; option rate=0 is not valid"),
    ],
)
def test_typed_mistakes(values: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=f"^{message.replace('(', '[(]').replace('?', '[?]')}"):
        build(Options, values, "option")


def test_typed_values_are_read_from_text_and_frozen() -> None:
    options = build(Options, {"count": "3", "rate": "1e-3"}, "option")
    assert (options.count, options.rate) == (3, 1e-3)
    with pytest.raises(ValueError, match="frozen"):
        options.count = 4  # type: ignore[misc]


def test_toml_mistakes(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        read_toml(tmp_path / "none.toml")
    (tmp_path / "bad.toml").write_text("a = 1\nb = ?\n")
    with pytest.raises(UserError, match=r"bad\.toml is not valid TOML: .*line 2"):
        read_toml(tmp_path / "bad.toml")
    (tmp_path / "latin.toml").write_bytes(b"a = '\xe9'")
    with pytest.raises(UserError, match="not valid TOML"):
        read_toml(tmp_path / "latin.toml")
    with pytest.raises(UserError, match="Is a directory"):
        read_toml(tmp_path)
