"""Plots are drawn whatever the history holds, and hold what it says."""

from __future__ import annotations

import io
import math
import sys

import pytest
from matplotlib.axes import Axes

from pdadmm_bench.core.rows import Row, make_row
from pdadmm_bench.report.figures.convergence import comparison_picture, run_picture
from pdadmm_bench.report.figures.draw import figure
from pdadmm_bench.report.figures.picture import Picture


def a_row(**values: object) -> Row:
    names = {"optimizer_name": "pdadmm", "dataset_name": "cora", "seed": 0, "status": "ok"}
    shape = {"model_layers": 10, "model_hidden": 256, "dist_workers": 1, "dist_device": "cpu"}
    return make_row({**names, **shape, **values})


def admm(count: int) -> list[dict[str, float]]:
    return [
        {"iteration": k, "train_seconds": 0.1 * k, "objective": 9 / k, "primal_residual": k**-1.5, "acc_val": 1 - 1 / k}
        for k in range(1, count + 1)
    ]


def drawn(picture: Picture) -> dict[str, Axes]:
    """The axes of the picture by title and x label, after drawing all of it."""
    made = figure(picture)
    made.savefig(io.BytesIO(), format="png")
    return {f"{axes.get_title()} / {axes.get_xlabel()}": axes for axes in made.axes}


def legend(axes: Axes) -> list[str]:
    """The names in the legend that the panels of a picture share."""
    (found,) = axes.get_figure().legends
    return [text.get_text() for text in found.get_texts()]


@pytest.mark.slow
def test_an_admm_run_has_four_panels() -> None:
    axes = drawn(run_picture(admm(30), a_row()))
    assert list(axes) == [
        "objective / iteration", "primal residual / iteration", "accuracy / iteration", "accuracy / training time (s)",
    ]  # fmt: skip
    residual, guide = axes["primal residual / iteration"].lines
    assert axes["primal residual / iteration"].get_xscale() == axes["primal residual / iteration"].get_yscale() == "log"
    assert list(residual.get_ydata()) == [k**-1.5 for k in range(1, 31)]
    assert [y * k for k, y in enumerate(guide.get_ydata(), 1)] == pytest.approx([1.0] * 30)
    (accuracy,) = axes["accuracy / training time (s)"].lines
    assert accuracy.get_xdata()[-1] == pytest.approx(3.0)


def test_a_gradient_run_shows_its_loss() -> None:
    history = [{"iteration": k, "train_seconds": k, "loss": 1 / k, "loss_train": 1 / k} for k in range(1, 5)]
    axes = drawn(run_picture(history, a_row(optimizer_name="adam")))
    assert next(iter(axes)) == "loss / iteration"
    assert len(axes["loss / iteration"].lines) == 1


@pytest.mark.parametrize(
    "history",
    [
        [],
        [{"iteration": 0}],
        admm(1),
        [{"iteration": 0, "train_seconds": 0.0, "objective": 0.0, "primal_residual": 0.0, "acc_val": 0.1}, *admm(2)],
        [{"iteration": 1, "objective": math.nan, "primal_residual": math.inf, "acc_val": math.nan}],
        [{"iteration": 0, "primal_residual": 1.0}],
        [{"iteration": 1, "objective": -5.0}, {"iteration": 2, "objective": 1e300}],
        [{"acc_val": 0.5}],
    ],
)
@pytest.mark.slow
def test_odd_histories_are_drawn(history: list[dict[str, float]]) -> None:
    drawn(run_picture(history, a_row(status="error")))
    drawn(comparison_picture([(a_row(), history), (a_row(optimizer_name="adam"), admm(3))]))


def test_an_empty_panel_says_so() -> None:
    axes = drawn(run_picture([], a_row(status="oom")))
    assert [text.get_text() for text in axes["accuracy / iteration"].texts] == ["no accuracy was recorded"]


@pytest.mark.slow
def test_the_target_is_marked_on_the_time_axis() -> None:
    axes = drawn(run_picture(admm(5), a_row(time_to_target_s=0.3)))
    assert len(axes["accuracy / iteration"].lines) == 1
    assert list(axes["accuracy / training time (s)"].lines[-1].get_xdata()) == [0.3, 0.3]


def test_a_comparison_names_each_optimizer_once() -> None:
    runs = [(a_row(optimizer_name=name, seed=seed), admm(4)) for name in ("pdadmm", "adam") for seed in range(3)]
    for axes in drawn(comparison_picture(runs)).values():
        assert len(axes.lines) == 6
        assert legend(axes) == ["pdadmm", "adam"]
        assert len({line.get_color() for line in axes.lines}) == 2


def test_a_comparison_over_workers_tells_them_apart() -> None:
    runs = [(a_row(dist_workers=workers), admm(4)) for workers in (1, 4)]
    axes = drawn(comparison_picture(runs))["validation accuracy / iteration"]
    assert legend(axes) == ["pdadmm × 1", "pdadmm × 4"]


def test_a_comparison_over_meshes_tells_them_apart() -> None:
    meshes = (None, "layers=1,rows=4", "layers=2,rows=2")
    picture = comparison_picture([(a_row(dist_workers=4, dist_mesh=mesh), admm(4)) for mesh in meshes])
    assert picture.names == ["pdadmm", "pdadmm (rows)", "pdadmm (layers=2,rows=2)"]


def test_the_ground_is_shaded_while_every_run_is_in_its_warm_start() -> None:
    later = [{**step, "train_seconds": 2.0 + step["train_seconds"]} for step in admm(4)]
    warm = [(a_row(time_warm_start_s=seconds), later) for seconds in (2.0, 3.0)]
    assert [panel.shade for panel in run_picture(later, warm[0][0]).panels] == [None, None, None, ("warm start", 2.0)]
    assert [panel.shade for panel in comparison_picture(warm).panels] == [None, ("warm start", 2.0)]
    assert [panel.shade for panel in comparison_picture([*warm, (a_row(), admm(4))]).panels] == [None, None]


def test_pyplot_stays_out() -> None:
    figure(run_picture(admm(3), a_row()))
    assert "matplotlib.pyplot" not in sys.modules
