"""Times, positions and levels."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plasticity_lab.errors import UserError
from plasticity_lab.timing import Levels, Position, Time

whole = st.builds(
    lambda head, number, unit: f"{head}{number}{unit}",
    st.just(""),
    st.integers(0, 10**6),
    st.sampled_from(["ep", "st"]),
)
share = st.decimals(0, 100, places=3).map(lambda number: f"{number}%")
stage = st.integers(0, 1000).map(lambda number: f"stage{number}")
times = st.one_of(whole, share, stage, st.just("stages"))
positions = st.builds(Position, st.integers(0, 300), st.integers(0, 10**5), st.integers(0, 20))


@given(times)
def test_parse_and_print_round_trip(text: str) -> None:
    time = Time(text)
    assert Time(str(time)) == time
    assert str(Time(str(time))) == str(time)


@pytest.mark.parametrize(
    ("written", "canonical"),
    [
        ("080ep", "80ep"),
        ("12.50%", "12.5%"),
        ("0.5%", "0.5%"),
        ("50.0%", "50%"),
        ("100%", "100%"),
        ("stage02", "stage2"),
    ],
)
def test_one_moment_has_one_text(written: str, canonical: str) -> None:
    assert str(Time(written)) == canonical


@given(st.one_of(st.integers(), st.floats(allow_nan=False)).map(str))
def test_a_bare_number_is_refused(text: str) -> None:
    with pytest.raises(UserError, match=r"is not a time: set '80ep'"):
        Time(text)


@pytest.mark.parametrize(
    "text", ["", "ep", "10 ep", "10epochs", "-1ep", "stage", "stage2ep", "٣ep", "1e3st", "10EP"]
)
def test_a_malformed_time_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="is not a time"):
        Time(text)


@pytest.mark.parametrize("text", ["1.5ep", "0.5st", "stage1.5"])
def test_only_a_share_takes_a_fraction(text: str) -> None:
    with pytest.raises(UserError, match="only '%' takes a fraction"):
        Time(text)


def test_a_share_beyond_the_run_is_refused() -> None:
    with pytest.raises(UserError, match="at most '100%'"):
        Time("100.1%")


@given(times, st.lists(positions, min_size=1, max_size=30), st.integers(1, 300))
def test_a_moment_is_crossed_once_on_any_way_through_a_run(
    text: str, way: list[Position], epochs: int
) -> None:
    """However large the strides, and whether or not the moment itself is ever stood on."""
    way = sorted(
        Position(*column)
        for column in zip(*(sorted(column) for column in zip(*way, strict=True)), strict=True)
    )
    time, before, crossings = Time(text), None, 0
    for now in way:
        crossings += time.crossed(before, now, epochs)
        before = now
    if text == "stages":
        assert crossings == len({position.stage for position in way} - {0})
    else:
        assert crossings == time.reached(way[-1], epochs)


@given(positions, st.integers(1, 300))
def test_nothing_trained_yet_means_a_moment_at_the_start_is_still_to_be_crossed(
    now: Position, epochs: int
) -> None:
    assert Time("0ep").crossed(None, now, epochs)
    assert not Time("0ep").crossed(now, now, epochs)


@given(positions, st.integers(0, 10**5), st.integers(0, 300), st.integers(1, 300))
def test_units_are_never_mixed(now: Position, step: int, epoch: int, epochs: int) -> None:
    assert Time("7ep").reached(now, epochs) == Time("7ep").reached(now._replace(step=step), epochs)
    assert Time("7st").reached(now, epochs) == Time("7st").reached(
        now._replace(epoch=epoch), epochs
    )
    assert Time("7ep").reached(now, epochs) == Time("7ep").reached(now, epochs + 1)


@pytest.mark.parametrize(("epochs", "first"), [(24, 12), (25, 13), (1, 1), (3, 2)])
def test_half_a_run_is_the_first_epoch_start_at_or_after_it(epochs: int, first: int) -> None:
    reached = [
        epoch for epoch in range(epochs + 1) if Time("50%").reached(Position(epoch, 0), epochs)
    ]
    assert reached[0] == first


def test_the_last_level_reached_holds() -> None:
    levels = Levels({"2ep": "early", "50%": "half", "30st": "late"})
    assert [levels.at(Position(epoch, epoch), 20) for epoch in (0, 2, 9, 10)] == [
        None,
        "early",
        "early",
        "half",
    ]
    assert levels.at(Position(3, 30), 20) == "late"


@pytest.mark.parametrize("levels", [{"5ep": 1, "5ep ": 2}, {"5": 1}])
def test_levels_refuse_what_is_not_a_time(levels: dict[str, int]) -> None:
    with pytest.raises(UserError, match="is not a time"):
        Levels(levels)


def test_levels_must_increase() -> None:
    with pytest.raises(UserError, match="'3ep' stands after '5ep'"):
        Levels({"5ep": 1, "9st": 2, "3ep": 3})
    with pytest.raises(UserError, match="levels is empty"):
        Levels({})
