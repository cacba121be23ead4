"""Pictures of runs that cost nothing."""

from __future__ import annotations

import pytest


def draw_blank(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the pictures of runs blank: drawing one takes longer than a tiny run. tests/report draws them."""
    from matplotlib.figure import Figure

    from pdadmm_bench.report.figures import draw

    monkeypatch.setattr(draw, "figure", lambda picture: Figure(figsize=(1, 1)))
