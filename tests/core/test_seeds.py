"""Seeds of the random numbers."""

from __future__ import annotations

from pdadmm_bench.core.seeds import derive


def test_seeds_are_the_same_everywhere() -> None:
    assert derive("weights", 0, 3) == 7047235489479597680
    assert derive("split", 7) == 236647063773159105
    assert derive("weights", 0, 31) == 1645024480585503135
    assert 0 <= derive("x") < 2**63
