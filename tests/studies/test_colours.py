"""Colours of arms: the same from study to study, and told apart by everybody."""

from itertools import combinations
from typing import Any

import numpy as np
import pytest

from plasticity_lab.studies.colours import CONTROL, PALETTE, styles

DEFICIENCIES = {
    "none": np.eye(3),
    # Machado et al. 2009, severity 1.
    "protanopia": np.array(
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ]
    ),
    "deuteranopia": np.array(
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ]
    ),
    "tritanopia": np.array(
        [
            [1.255528, -0.076749, -0.178779],
            [-0.078411, 0.930809, 0.147602],
            [0.004733, 0.691367, 0.303900],
        ]
    ),
}


def lab(colour: str, deficiency: str) -> np.ndarray:
    """Return a colour as it is seen, in CIE L*a*b* (white D65)."""
    values = np.array([int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)])
    linear = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    seen = np.clip(DEFICIENCIES[deficiency] @ linear, 0, 1)
    to_xyz = np.array(
        [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    )
    ratio = to_xyz @ seen / np.array([0.9505, 1.0, 1.089])
    x, y, z = np.where(ratio > (6 / 29) ** 3, np.cbrt(ratio), ratio / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("deficiency", DEFICIENCIES)
def test_any_two_colours_are_told_apart(deficiency: str) -> None:
    for first, second in combinations([CONTROL, *PALETTE], 2):
        distance = np.linalg.norm(lab(first, deficiency) - lab(second, deficiency))
        assert distance > 10, (first, second)
        assert PALETTE.get(first) != PALETTE.get(second), "markers differ too"


def test_an_arm_has_its_colour_in_every_study() -> None:
    warm = styles(["fresh", "warm"], control="fresh")[1]
    assert styles(["warm"])[0] == warm
    assert styles(["random", "warm", "reset"], control="random")[1] == warm
    assert styles(["warm", *map(str, range(20))])[0] == warm
    assert styles(["flip", "warm"]) == styles(["warm", "flip"])[::-1]
    assert styles(["window", "warm"])[1] != warm, "window comes first and prefers the same"
    colours = [style.colour for style in styles(["warm", "flip"])]
    assert colours == ["#0072B2", "#CC79A7"], "also in later versions of this project"


def test_the_control_is_black_in_every_study() -> None:
    cases: list[tuple[list[Any], Any]] = [
        (["a", "never"], "never"),
        ([0, 10, 20], 0),
        ([1.0, "none"], "none"),
    ]
    for names, control in cases:
        style = styles(names, control)[names.index(control)]
        assert (style.colour, style.dash) == ("#000000", (5, 1.5))


def test_numbers_go_from_dark_to_light() -> None:
    for names in ([40, 0, 5, 20, 10], list(np.array([40, 0, 5, 20, 10]))):
        colours = dict(zip(names, styles(names, control=0), strict=True))
        lightness = [lab(colours[number].colour, "none")[0] for number in sorted(names)]
        assert lightness == sorted(lightness)
        assert len({*lightness}) == len(names)


def test_many_arms_differ_in_dashes_where_colours_are_used_up() -> None:
    given = styles([f"arm {number}" for number in range(24)])
    assert len({(style.colour, style.dash) for style in given}) == 24
    for start in range(0, 24, len(PALETTE)):
        assert {style.colour for style in given[start : start + len(PALETTE)]} == {*PALETTE}
