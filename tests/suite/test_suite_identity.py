"""When a run counts as made already: its settings and its key."""

from __future__ import annotations

from pdadmm_bench.core import presets
from pdadmm_bench.core.spec import run_spec
from pdadmm_bench.suite.identity import configuration, run_key


def test_settings_tell_runs_apart_and_their_origin_does_not() -> None:
    spec = run_spec({"dataset": "cora", "optimizer": "adam", "set": {"lr": 0.25}})
    preset = presets.resolve(spec)
    assert preset["weight_decay"] > 0
    same = run_spec({"dataset": "cora", "optimizer": "adam", "preset": "none", "set": {**preset, "lr": 0.25}})
    assert configuration(spec) == configuration(same)
    for other in ({"seed": 1}, {"iterations": 3}, {"set": {"lr": 0.5}}, {"hops": 2}, {"threads": 2}, {"wire": "fp32"}):
        assert configuration(run_spec({**spec.flat(), **other})) != configuration(spec)


def test_the_key_of_a_run() -> None:
    spec = run_spec({"optimizer": "adam", "device": "cpu"})
    key = run_key(spec, "settings", "data", "code")
    assert key == run_key(spec, "settings", "data", "code")
    others = [("other", "data", "code"), ("settings", "other", "code"), ("settings", "data", "other")]
    assert len({key, *(run_key(spec, *parts) for parts in others)}) == 4
    assert len(key) == 32 and int(key, 16) >= 0
