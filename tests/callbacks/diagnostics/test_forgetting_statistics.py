"""Forgetting events against the authors' rule."""

import math
from typing import Any

import numpy as np
import pytest
import torch

from callbacks.diagnostics.forgetting_statistics import NEVER, ForgettingStatistics

CPU = torch.device("cpu")


def authors(accuracies: list[int]) -> tuple[list[int], int, float]:
    """Return presentations (from 1) of forgetting, one past the last wrong one, and the first right one (NaN if none)."""
    accuracy = np.array(accuracies)
    transitions = accuracy[1:] - accuracy[:-1]
    forgotten = (np.where(transitions == -1)[0] + 2).tolist()
    wrong, right = np.where(accuracy == 0)[0], np.where(accuracy == 1)[0]
    return forgotten, int(wrong[-1]) + 1 if len(wrong) else 0, float(right[0]) if len(right) else math.nan


def stream(accuracies: list[int]) -> ForgettingStatistics:
    counts = ForgettingStatistics(1, CPU)
    for right in accuracies:
        counts.update(torch.tensor([0]), torch.tensor([bool(right)]), 0)
    return counts


@pytest.mark.parametrize(
    ("accuracies", "events", "first", "last_wrong", "unforgettable"),
    [
        ([0, 1, 1, 0, 1, 0], 2, 1, 5, False),
        ([0, 0, 0], 0, NEVER, 2, False),
        ([1, 1, 1], 0, 0, -1, True),
        ([0, 1], 0, 1, 0, True),
    ],
)
def test_small_cases(accuracies: list[int], events: int, first: int, last_wrong: int, unforgettable: bool) -> None:
    counts = stream(accuracies)
    found = [counts.forgotten, counts.first_learned, counts.last_wrong, counts.presentations]
    assert [int(one) for one in found] == [events, first, last_wrong, len(accuracies)]
    assert bool(counts.unforgettable) is unforgettable


def check(counts: ForgettingStatistics, history: list[list[tuple[int, int]]]) -> None:
    """Compare with the authors' rule; the history of an example is a list of (right, stage)."""
    for index, seen in enumerate(history):
        forgotten, past_wrong, first = authors([right for right, _ in seen])
        assert counts.forgotten[index] == len(forgotten)
        assert counts.last_wrong[index] == past_wrong - 1
        assert counts.first_learned[index] == (NEVER if math.isnan(first) else first)
        assert counts.presentations[index] == len(seen)
        assert bool(counts.right[index]) == bool(seen and seen[-1][0])
        before = [0, *(right for right, _ in seen)]
        assert counts.learned[index] == sum(now > then for then, now in zip(before, [right for right, _ in seen], strict=False))
        stages = [seen[presentation - 1][1] for presentation in forgotten]
        assert counts.events[index].tolist() == [stages.count(stage) for stage in range(counts.events.shape[1])]


@pytest.mark.parametrize("replace", [False, True], ids=["once in a batch", "several times in a batch"])
def test_streaming_is_the_authors_rule_on_random_histories(replace: bool) -> None:
    """With examples that come in at stage 1, and one that never comes."""
    draws = np.random.default_rng(0)
    counts = ForgettingStatistics(12, CPU)
    history: list[list[tuple[int, int]]] = [[] for _ in range(12)]
    for batch in range(60):
        stage, present = batch // 20, 6 if batch < 20 else 11
        indices = draws.choice(present, size=int(draws.integers(1, 6 + 1)), replace=replace)
        right = draws.integers(0, 2, len(indices))
        counts.update(torch.tensor(indices), torch.tensor(right).bool(), stage)
        for index, one in zip(indices, right, strict=True):
            history[index].append((int(one), stage))
    assert not history[11]
    assert counts.events.shape == (12, 3)
    assert min(counts.events.sum(0)) > 0
    check(counts, history)


def test_a_copy_goes_on_as_the_first_does() -> None:
    draws = torch.Generator().manual_seed(0)
    batches = [(torch.randperm(9, generator=draws)[:4], torch.rand(4, generator=draws) < 0.5, n // 10) for n in range(20)]
    whole, first, second = (ForgettingStatistics(9, CPU) for _ in range(3))
    for batch in batches:
        whole.update(*batch)
    for batch in batches[:7]:
        first.update(*batch)
    state: Any = first.state_dict()
    for batch in batches[7:]:
        first.update(*batch)
    second.load_state_dict(state)
    for batch in batches[7:]:
        second.update(*batch)
    for name, counts in whole.state_dict().items():
        assert torch.equal(counts, first.state_dict()[name]), name
        assert torch.equal(counts, second.state_dict()[name]), name
