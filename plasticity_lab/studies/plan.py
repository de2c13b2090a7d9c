"""Plan what a study has to train: the tree of all its runs' epochs, cut into segments."""

import hashlib
import json
from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple, Protocol

from plasticity_lab.studies.study_parts import SEED

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


class EpochSignatures(NamedTuple):
    """A run, as far as it can be compared with others.

    Attributes:
        static_config: what is the same in all epochs, but for the seed.
        code: the hash of its code.
        epochs: what else is active in each epoch, as JSON.
        not_shareable_because: why it shares no part of itself with others, "" if it does.
        may_end_early: whether its number of epochs is only a limit: something in it may end it
            before.
    """

    static_config: dict[str, Any]
    code: str
    epochs: list[str]
    not_shareable_because: str
    may_end_early: bool

    def static_part(self, seed: int) -> str:
        """Return what is the same in all epochs of the run of a seed, as JSON."""
        return as_json([{**self.static_config, SEED: seed}, self.code])


class StateChain(NamedTuple):
    """The states that a run goes through.

    Attributes:
        states: an id for each number of trained epochs, 0 … all; states with equal ids are bitwise
            equal.
        not_shareable_because: why it shares nothing with others, "" if it does.
    """

    states: list[str]
    not_shareable_because: str


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


def state_chain(signatures: EpochSignatures, seed: int, environment: str) -> StateChain:
    """Name the states of a run by everything that decides them.

    Args:
        signatures: of its config.
        seed: of the run.
        environment: what else decides them: versions, device, data.
    """
    states = [_hash(environment, signatures.static_part(seed))]
    for signature in signatures.epochs:
        states.append(_hash(states[-1], signature))
    return StateChain(states, signatures.not_shareable_because)


def segments(paths: Sequence[StateChain], store: StoreView) -> list[Segment]:
    """Return the segments still to train: for each run, all after its latest stored checkpoint.

    A stored segment starts from a state that is stored too, or that is trained again.
    """
    cuts = _branch_points(paths)
    ends = {states[-1] for states, _ in paths}
    needed: dict[str, Segment] = {}
    for number, (states, not_shareable_because) in enumerate(paths):
        last = len(states) - 1
        end = states[last]
        if store.has_logs(end) and store.has_checkpoint(end) and not store.has_test(end):
            needed.setdefault(end, Segment(end, end, last, last, number, True, False))

        # From the end back to a fresh network, over stored and missing segments. A state from which
        # a missing segment starts needs its checkpoint, another one only its logs.
        stop = last
        is_start = False
        while stop:
            state = states[stop]
            stored = store.has_checkpoint(state) if is_start else store.has_logs(state)
            if stop == last:
                stored = stored and (store.has_test(state) or store.has_checkpoint(state))
            if stored:
                start = store.start(state)
                stop = states.index(start) if start else 0
                is_start = False
                continue
            if state in needed:
                break
            first = 0
            if not not_shareable_because:
                first = _last_cut(states[:stop], cuts, store)
            needed[state] = Segment(
                start=states[first] if first else None,
                end=state,
                first=first,
                stop=stop,
                run=number,
                test=state in ends and not store.has_test(state),
                whole=bool(not_shareable_because),
            )
            stop = first
            is_start = True
    return sorted(needed.values(), key=lambda segment: segment.first)


def _last_cut(states: Sequence[str], cuts: set[str], store: StoreView) -> int:
    """Return after how many epochs the last segment of some states can start; 0 if nowhere."""
    for count in range(len(states) - 1, 0, -1):
        if states[count] in cuts or store.has_checkpoint(states[count]):
            return count
    return 0


def epochs_to_follow(todo: Sequence[Segment]) -> dict[str, int]:
    """Return, for each segment's end, the epochs of the longest chain from its beginning."""
    longest: dict[str | None, int] = defaultdict(int)
    for segment in sorted(todo, key=lambda segment: -segment.stop):
        length = segment.stop - segment.first + longest[segment.end]
        longest[segment.start] = max(longest[segment.start], length)
    return {segment.end: segment.stop - segment.first + longest[segment.end] for segment in todo}


def _branch_points(paths: Sequence[StateChain]) -> set[str]:
    """Return the states at which segments end: ends of runs, forks, and one every so often."""
    following: dict[str, set[str]] = defaultdict(set)
    points: set[str] = set()
    for states, _ in paths:
        points.add(states[-1])
        points.update(states[MAX_SEGMENT_EPOCHS::MAX_SEGMENT_EPOCHS])
        for state, after in pairwise(states):
            following[state].add(after)
    return points | {state for state, after in following.items() if len(after) > 1}


def _hash(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


def as_json(value: Any) -> str:
    """Return a part of a config as text that does not depend on the order of keys."""
    return json.dumps(value, sort_keys=True, default=str)
