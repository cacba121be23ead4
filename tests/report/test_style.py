"""Colours of optimizers: one for each, far apart for every colour vision, visible on light and dark pages."""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

from pdadmm_bench.optim import NAMED_ONLY, REFERENCE, registry
from pdadmm_bench.report.figures.style import colour_of

Array = NDArray[np.float64]

#: Linear RGB as it is seen without one kind of cone (Machado, Oliveira, Fernandes: A Physiologically-based Model for
#: Simulation of Color Vision Deficiency. IEEE TVCG 15, 2009; severity 1).
VISIONS = {
    "all cones": [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
    "no red": [[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]],
    "no green": [[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]],
    "no blue": [[1.256, -0.077, -0.179], [-0.078, 0.931, 0.148], [0.005, 0.691, 0.304]],
}
XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
PAGES = ("#ffffff", "#16181b")


def linear(colour: str) -> Array:
    values = np.array([int(colour[place : place + 2], 16) for place in (1, 3, 5)]) / 255
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def lab(rgb: Array) -> Array:
    """CIELAB of linear RGB, under D65."""
    x, y, z = np.cbrt(XYZ @ np.clip(rgb, 0, 1) / XYZ.sum(axis=1))
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def distance(one: str, other: str) -> float:
    """In CIELAB (about 2 can just be seen), for the readers to whom the two are the most alike."""
    seen = ([np.array(vision) @ linear(colour) for colour in (one, other)] for vision in VISIONS.values())
    return min(float(np.linalg.norm(lab(a) - lab(b))) for a, b in seen)


def contrast(one: str, other: str) -> float:
    """As WCAG has it, from 1 on."""
    low, high = sorted(float(XYZ[1] @ linear(colour)) + 0.05 for colour in (one, other))
    return high / low


def test_every_optimizer_can_be_told_from_the_others() -> None:
    colours = {name: colour_of(name) for name in registry.names()}
    chosen = set(NAMED_ONLY) - {REFERENCE}
    for one, other in itertools.combinations(colours, 2):
        least = 20 if {one, other} & chosen else 14  # the others are those of Okabe and Ito, brown and grey
        assert distance(colours[one], colours[other]) > least, (one, other)


def test_every_optimizer_can_be_seen_on_a_light_and_on_a_dark_page() -> None:
    for name in registry.names():
        for page in PAGES:
            assert contrast(colour_of(name), page) > 1.9, (name, page)
