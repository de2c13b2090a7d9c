"""Segments wait for those that they continue from, and are looked at a few times each."""

import random

from plasticity_lab.studies.plan import Segment, epochs_to_follow
from plasticity_lab.studies.waiting_segments import WaitingSegments


def segment(start: str | None, end: str, epochs: int = 1) -> Segment:
    return Segment(start, end, 0, epochs, 0, False, False)


def tree(size: int) -> list[Segment]:
    """Return segments, each of which continues from an earlier one or from a fresh network."""
    draw = random.Random(0)
    return [
        segment(f"s{draw.randrange(number)}" if number > 2 else None, f"s{number}")._replace(
            first=number, stop=number + draw.randrange(1, 9)
        )
        for number in range(size)
    ]


def test_the_longest_chain_that_can_go_on_comes_first() -> None:
    todo = tree(300)
    random.Random(1).shuffle(todo)
    left = epochs_to_follow(todo)
    waiting = WaitingSegments(todo, lambda state: False)
    trained: set[str | None] = {None}
    open_segments = list(todo)
    while open_segments:
        chosen = waiting.pop()
        assert chosen is not None
        startable = [one for one in open_segments if one.start in trained]
        assert chosen in startable
        assert left[chosen.end] == max(left[one.end] for one in startable)
        open_segments.remove(chosen)
        trained.add(chosen.end)
        waiting.release(chosen.end)
    assert waiting.pop() is None
    assert waiting.blocked() == []


def test_the_store_is_asked_once_for_each_state() -> None:
    asked: list[str] = []

    def is_stored(state: str) -> bool:
        asked.append(state)
        return True

    todo = [segment("trunk", f"leaf{number}") for number in range(1000)]
    waiting = WaitingSegments(todo, is_stored)
    while waiting.pop():
        pass
    assert asked == ["trunk"]


def test_what_another_process_stores_is_released_when_it_is_asked_for() -> None:
    stored: set[str] = set()
    waiting = WaitingSegments([segment("elsewhere", "leaf")], stored.__contains__)
    assert waiting.pop() is None
    assert [one.end for one in waiting.blocked()] == ["leaf"]
    stored.add("elsewhere")
    waiting.release_stored()
    assert waiting.pop() == segment("elsewhere", "leaf")


def test_a_test_alone_continues_from_its_own_end() -> None:
    waiting = WaitingSegments([segment("end", "end", 0)], lambda state: state == "end")
    assert waiting.pop() == segment("end", "end", 0)
