"""What a study has to train: the tree of all its runs' epochs, cut into segments."""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple, Protocol

from plasticity_lab.studies.epoch_signatures import epoch_signatures

MAX_SEGMENT_EPOCHS = 50
"""Epochs after which a segment ends: a kill costs little, and later runs can branch there."""


class StoreView(Protocol):
    """What has been trained already; see `studies.store.Store`."""

    def has_logs(self, state: str) -> bool:
        """Whether the epochs up to a state have been trained and logged."""

    def has_checkpoint(self, state: str) -> bool:
        """Whether the state itself is stored, to train from."""

    def has_test(self, state: str) -> bool:
        """Whether the test split has been measured in it."""

    def start(self, state: str) -> str | None:
        """Return the state from which a logged state was trained; None is a fresh network."""


class EmptyStore:
    """Nothing has been trained."""

    def has_logs(self, state: str) -> bool:
        """No."""
        return False

    has_checkpoint = has_test = has_logs

    def start(self, state: str) -> str | None:
        """Nothing."""
        return None


class StateChain(NamedTuple):
    """The states that a run goes through.

    Attributes:
        states: an id for each number of trained epochs, 0 … all; equal ids are bitwise equal
            states.
        alone: why it shares nothing with others, "" if it does.
    """

    states: list[str]
    alone: str


class Segment(NamedTuple):
    """Epochs that are trained in one piece, and what is measured then.

    Attributes:
        start: the state that it continues from; None is a fresh network.
        end: state it ends in.
        first: its first epoch.
        stop: the first epoch after it; equal to `first` if only the test split is still to be
            measured.
        run: number of the run whose config it is trained with.
        test: whether a run ends with it, so that the test split is measured.
        whole: whether it is a whole run that ends when it does, as its number of epochs says
            nothing.
    """

    start: str | None
    end: str
    first: int
    stop: int
    run: int
    test: bool
    whole: bool


def state_chain(config: dict[str, Any], salt: str, code: Callable[[Any], str]) -> StateChain:
    """Name the states of a run by everything that decides them.

    Args:
        config: the run's resolved config.
        salt: what else decides them: versions, device, data.
        code: returns the hash of the code that belongs to a part of the config; see
            `code_hashes.CodeHashes`.
    """
    constant, epochs, alone = epoch_signatures(config, code)
    states = [_hash(salt, constant)]
    for in_force in epochs:
        states.append(_hash(states[-1], in_force))
    return StateChain(states, alone)


def segments(paths: Sequence[StateChain], known: StoreView) -> list[Segment]:
    """Return the segments still to train: for each run, all after its latest stored checkpoint.

    What is there has a beginning that is there too, or that is trained again.
    """
    cuts, ends = _branch_points(paths), {states[-1] for states, _ in paths}
    needed: dict[str, Segment] = {}
    for number, (states, alone) in enumerate(paths):
        last = len(states) - 1
        if (
            known.has_logs(states[last])
            and not known.has_test(states[last])
            and known.has_checkpoint(states[last])
        ):
            needed.setdefault(
                states[last], Segment(states[last], states[last], last, last, number, True, False)
            )

        # From the end back to a fresh network, over what is there and what is not.
        stop, goes_on = last, False
        while stop:
            there = known.has_checkpoint(states[stop]) if goes_on else known.has_logs(states[stop])
            if stop == last:
                there = there and (
                    known.has_test(states[stop]) or known.has_checkpoint(states[stop])
                )
            if there:
                start = known.start(states[stop])
                stop, goes_on = states.index(start) if start else 0, False
                continue
            if states[stop] in needed:
                break
            inner = [
                count
                for count in range(1, stop)
                if not alone and (states[count] in cuts or known.has_checkpoint(states[count]))
            ]
            first = inner[-1] if inner else 0
            start, test = (
                states[first] if first else None,
                states[stop] in ends and not known.has_test(states[stop]),
            )
            needed[states[stop]] = Segment(
                start, states[stop], first, stop, number, test, bool(alone)
            )
            stop, goes_on = first, True
    return sorted(needed.values(), key=lambda segment: segment.first)


def epochs_to_follow(todo: Sequence[Segment]) -> dict[str, int]:
    """Return, for each segment's end, the epochs of the longest chain from its beginning."""
    longest: dict[str | None, int] = defaultdict(int)
    for segment in sorted(todo, key=lambda segment: -segment.stop):
        length = segment.stop - segment.first + longest[segment.end]
        longest[segment.start] = max(longest[segment.start], length)
    return {segment.end: segment.stop - segment.first + longest[segment.end] for segment in todo}


def _branch_points(paths: Sequence[StateChain]) -> set[str]:
    after: dict[str, set[str]] = defaultdict(set)
    for states, _ in paths:
        for here, there in pairwise(states):
            after[here].add(there)
    ends = {states[-1] for states, _ in paths}
    regular = {
        states[count]
        for states, _ in paths
        for count in range(MAX_SEGMENT_EPOCHS, len(states), MAX_SEGMENT_EPOCHS)
    }
    return ends | regular | {state for state, following in after.items() if len(following) > 1}


def _hash(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]
