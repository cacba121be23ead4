"""Registries: names of the project and of third parties, imported only when they are used."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest

from pdadmm_bench.core.errors import UserError
from pdadmm_bench.core.registry import Registry


def test_names_are_imported_when_they_are_used(install: Callable[..., Path]) -> None:
    install("group", far="json:dumps", gone="no_such_module:thing")
    install("another.group", elsewhere="json:dumps")
    registry = Registry("thing", "group", {"near": "math:tau", "broken": "math:no_such_name"})
    assert registry.names() == ["near", "broken", "far", "gone"]  # nothing of it was imported
    assert registry.get("near") == math.tau
    assert registry.get("far") is json.dumps
    with pytest.raises(UserError, match="unknown thing 'nea': did you mean near"):
        registry.get("nea")
    with pytest.raises(UserError, match=r"thing 'gone' \(no_such_module:thing\) cannot be loaded: No module"):
        registry.get("gone")
    with pytest.raises(UserError, match=r"thing 'broken' .* cannot be loaded"):
        registry.get("broken")


def test_a_package_that_is_put_on_the_path_later_is_found(install: Callable[..., Path]) -> None:
    registry = Registry("thing", "group", {})
    assert registry.names() == []
    install("group", late="math:tau")
    assert registry.get("late") == math.tau


def test_a_third_party_cannot_take_a_name(install: Callable[..., Path]) -> None:
    registry = Registry("optimizer", "group", {"adam": "ours:Adam"})
    install("group", adam="ours:Adam")
    assert registry.names() == ["adam"]  # the same thing twice is no conflict
    install("group", adam="theirs:Adam")
    with pytest.raises(UserError, match="registered twice: ours:Adam and theirs:Adam"):
        registry.names()


def test_two_third_parties_cannot_share_a_name(install: Callable[..., Path]) -> None:
    registry = Registry("thing", "group", {})
    install("group", near="math:pi")
    install("group", near="math:tau")
    with pytest.raises(UserError, match=r"thing 'near' is registered twice: math:(tau and math:pi|pi and math:tau)"):
        registry.names()
