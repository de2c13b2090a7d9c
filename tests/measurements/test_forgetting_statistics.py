"""Forgetting events against the authors' rule."""

import math
from typing import Any

import numpy as np
import pytest
import torch

from plasticity_lab.measurements.error_norms import error_norms
from plasticity_lab.measurements.forgetting_statistics import (
    NEVER,
    UNIT,
    ForgettingStatistics,
    whole_units,
)


def authors(accuracies: list[int]) -> tuple[list[int], int, float]:
    """Return presentations (from 1) at which an example was forgotten, and the first right one.

    One past the last wrong one; NaN if none is right.
    """
    accuracy = np.array(accuracies)
    transitions = accuracy[1:] - accuracy[:-1]
    forgotten = (np.where(transitions == -1)[0] + 2).tolist()
    wrong, right = np.where(accuracy == 0)[0], np.where(accuracy == 1)[0]
    return (
        forgotten,
        int(wrong[-1]) + 1 if len(wrong) else 0,
        float(right[0]) if len(right) else math.nan,
    )


def sorting(history: list[list[int]], presentations: int) -> tuple[list[int], list[int]]:
    """Return the examples sorted by the authors' `sort_examples_by_forgetting`.

    And the counts that it sorts by.
    """
    counts = []
    for accuracies in history:
        forgotten, _, first = authors(accuracies)
        counts.append(presentations if math.isnan(first) else len(forgotten))
    return np.argsort(counts, kind="stable").tolist(), counts


def empty(examples: int) -> ForgettingStatistics:
    """Return counts of examples whose own labels are 0."""
    return ForgettingStatistics(torch.zeros(examples, dtype=torch.int64))


def update(
    counts: ForgettingStatistics,
    indices: Any,
    right: Any,
    stage: int = 0,
    given_labels: Any = None,
    margins: Any = None,
    errors: Any = None,
) -> None:
    """Count a batch, of right labels and without margins if none are given."""
    indices = torch.as_tensor(indices)
    labels, units, norms = (
        torch.zeros_like(indices) if numbers is None else torch.as_tensor(numbers)
        for numbers in (given_labels, margins, errors)
    )
    counts.update(indices, labels, torch.as_tensor(right).bool(), units, norms, stage)


def stream(accuracies: list[int]) -> ForgettingStatistics:
    counts = empty(1)
    for right in accuracies:
        update(counts, [0], [right])
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
def test_small_cases(
    accuracies: list[int], events: int, first: int, last_wrong: int, unforgettable: bool
) -> None:
    counts = stream(accuracies)
    numbers = [counts.forgotten, counts.first_learned, counts.last_wrong, counts.presentations]
    assert [int(number) for number in numbers] == [events, first, last_wrong, len(accuracies)]
    assert bool(counts.unforgettable) is unforgettable
    assert int(counts.scores) == (len(accuracies) if first == NEVER else events)


def check(counts: ForgettingStatistics, history: list[list[tuple[int, int]]]) -> None:
    """Compare with the authors' rule; the history of an example is a list of (right, stage)."""
    for index, presentations in enumerate(history):
        forgotten, past_wrong, first = authors([right for right, _ in presentations])
        assert counts.forgotten[index] == len(forgotten)
        assert counts.last_wrong[index] == past_wrong - 1
        assert counts.first_learned[index] == (NEVER if math.isnan(first) else first)
        assert counts.presentations[index] == len(presentations)
        assert bool(counts.right[index]) == bool(presentations and presentations[-1][0])
        before = [0, *(right for right, _ in presentations)]
        assert counts.learned[index] == sum(
            now > then
            for then, now in zip(before, [right for right, _ in presentations], strict=False)
        )
        stages = [presentations[presentation - 1][1] for presentation in forgotten]
        assert counts.events[index].tolist() == [
            stages.count(stage) for stage in range(counts.events.shape[1])
        ]


@pytest.mark.parametrize(
    "replace", [False, True], ids=["once in a batch", "several times in a batch"]
)
def test_streaming_is_the_authors_rule_on_random_histories(replace: bool) -> None:
    """With examples that come in at stage 1, and one that never comes."""
    draws = np.random.default_rng(0)
    counts = empty(12)
    history: list[list[tuple[int, int]]] = [[] for _ in range(12)]
    for batch in range(60):
        stage, present = batch // 20, 6 if batch < 20 else 11
        indices = draws.choice(present, size=int(draws.integers(1, 6 + 1)), replace=replace)
        right = draws.integers(0, 2, len(indices))
        update(counts, indices, right, stage)
        for index, is_right in zip(indices, right, strict=True):
            history[index].append((int(is_right), stage))
    assert not history[11]
    assert counts.events.shape == (12, 3)
    assert min(counts.events.sum(0)) > 0
    check(counts, history)


def test_a_copy_goes_on_as_the_first_does() -> None:
    draws = torch.Generator().manual_seed(0)
    batches: list[Any] = [
        (
            torch.randperm(9, generator=draws)[:4],
            torch.rand(4, generator=draws) < 0.5,
            n // 10,
            torch.randint(0, 2, (4,), generator=draws),
            torch.randint(-9, 0, (4,), generator=draws),
        )
        for n in range(20)
    ]
    uninterrupted, first, second = (empty(9) for _ in range(3))
    for batch in batches:
        update(uninterrupted, *batch)
    for batch in batches[:7]:
        update(first, *batch)
    state: Any = first.state_dict()
    for batch in batches[7:]:
        update(first, *batch)
    second.load_state_dict(state)
    for batch in batches[7:]:
        update(second, *batch)
    for name, counts in uninterrupted.state_dict().items():
        assert torch.equal(counts, first.state_dict()[name]), name
        assert torch.equal(counts, second.state_dict()[name]), name


def test_never_learned_examples_rank_highest_as_in_the_authors_sorting() -> None:
    """On random histories of 30 presentations, some of them of examples never learned."""
    draws = np.random.default_rng(0)
    history = (draws.random((400, 30)) < draws.choice([0.0, 0.3, 0.9], 400)[:, None]).astype(int)
    counts = empty(400)
    for right in history.T:
        update(counts, np.arange(400), right)
    order, expected = sorting(history.tolist(), 30)
    assert counts.scores.tolist() == expected
    assert counts.scores.argsort(stable=True).tolist() == order
    never = {index for index, row in enumerate(history) if not row.any()}
    assert len(never) > 50
    assert set(order[-len(never) :]) == never
    assert set(np.argsort(counts.forgotten.numpy(), kind="stable")[-len(never) :]) != never, (
        "events alone rank them lowest"
    )


def test_an_example_that_came_late_and_was_never_learned_ranks_highest_too() -> None:
    counts = empty(2)
    for right in (1, 0) * 5:
        update(counts, [0], [right])
    update(counts, [1], [0], 1)
    assert counts.scores.tolist() == [5, 10]


@pytest.mark.parametrize(
    "replace", [False, True], ids=["once in a batch", "several times in a batch"]
)
def test_margins_are_the_mean_over_forgetting_events_and_labels_those_given(replace: bool) -> None:
    draws = np.random.default_rng(1)
    labels = torch.arange(8) % 3
    counts = ForgettingStatistics(labels)
    history: list[list[tuple[int, int, float]]] = [[] for _ in range(8)]
    for _ in range(40):
        indices = draws.choice(7, size=int(draws.integers(1, 7)), replace=replace)
        right, given_labels = (
            draws.integers(0, 2, len(indices)),
            np.where(indices == 3, draws.integers(0, 3, len(indices)), indices % 3),
        )
        margins = np.where(right, 1, -1) * draws.random(len(indices))
        update(counts, indices, right, 0, given_labels, whole_units(torch.as_tensor(margins)))
        for index, *answer in zip(indices, right, given_labels, margins, strict=True):
            history[index].append((int(answer[0]), int(answer[1]), float(answer[2])))
    for index, presentations in enumerate(history[:7]):
        events = [
            presentation - 1 for presentation in authors([right for right, *_ in presentations])[0]
        ]
        expected = np.mean([presentations[event][2] for event in events])
        assert counts.misclassification_margins[index] == pytest.approx(expected, abs=2 * UNIT)
        assert counts.misclassification_margins[index] < 0
        assert counts.given_label[index] == presentations[-1][1]
        assert bool(counts.wrong_label[index]) is (index == 3)
    assert counts.mislabelled[3] == sum(given_label != 0 for _, given_label, _ in history[3]) > 0
    assert counts.given_label[7] == -1
    assert counts.misclassification_margins[7].isnan()


def test_aum_and_el2n_are_means_over_all_presentations() -> None:
    draws = np.random.default_rng(2)
    counts = empty(6)
    history: list[list[tuple[float, float]]] = [[] for _ in range(6)]
    for _ in range(30):
        indices = draws.choice(5, size=7, replace=True)
        margins, errors = draws.normal(size=7), draws.random(7)
        units = [whole_units(torch.as_tensor(numbers)) for numbers in (margins, errors)]
        update(counts, indices, margins > 0, 0, None, *units)
        for index, margin, error in zip(indices, margins, errors, strict=True):
            history[index].append((margin, error))
    for index, presentations in enumerate(history[:5]):
        means = np.mean(presentations, axis=0)
        assert counts.aum[index] == pytest.approx(means[0], abs=UNIT)
        assert counts.el2n[index] == pytest.approx(means[1], abs=UNIT)
    assert counts.aum[5].isnan()
    assert counts.el2n[5].isnan()


def test_error_norms_are_distances_from_the_label() -> None:
    logits = np.random.default_rng(3).normal(size=(20, 4)) * 3
    labels = np.arange(20) % 4
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    expected = np.sqrt(((probabilities - np.eye(4)[labels]) ** 2).sum(1))
    norms = error_norms(torch.as_tensor(logits), torch.as_tensor(labels))
    torch.testing.assert_close(norms.double(), torch.as_tensor(expected), rtol=1e-6, atol=1e-6)


def test_sums_of_margins_do_not_depend_on_their_order() -> None:
    margins = torch.randn(1000, generator=torch.Generator().manual_seed(0)) * 10
    assert (
        whole_units(margins).sum()
        == whole_units(margins.flip(0)).sum()
        == whole_units(margins.double()).sum()
    )
    assert torch.allclose(whole_units(margins) * UNIT, margins, atol=UNIT)
    assert whole_units(torch.tensor([torch.nan, torch.inf, -torch.inf, 1e30])).tolist() == [
        0,
        2**40,
        -(2**40),
        2**40,
    ]
