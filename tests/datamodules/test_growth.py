"""Which examples exist when."""

import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from datamodules import ClassGrowth, Growth, SmoothTransition, StageCriterion, UniformGrowth
from datamodules.growth.permutations import arrival_permutation, epoch_permutation
from datamodules.growth.smooth_transition import share_of_all
from datamodules.growth.stage_schedule import StageSchedule
from datamodules.growth.waiting_stages import WaitingStages
from plasticity_lab.errors import UserError
from plasticity_lab.history import RunHistory, StageDecisions
from plasticity_lab.timing import Time

NEXT = StageCriterion(1.0)


def times(*texts: str) -> list[Time]:
    return [Time(text) for text in texts]


def some_labels(count: int, classes: int, seed: int = 0) -> Tensor:
    return torch.randint(0, classes, (count,), generator=torch.Generator().manual_seed(seed))


def stages(growth: Growth | None, labels: Tensor, seed: int = 0) -> StageSchedule:
    return StageSchedule(growth, labels, int(labels.max()) + 1, seed)


def stage(schedule: StageSchedule, epoch: int, decisions: StageDecisions | None = None) -> int:
    return schedule.position(epoch, 0, 10, decisions or StageDecisions()).stage


def order(schedule: StageSchedule, epoch: int, epochs: int = 10) -> Tensor:
    return schedule.order(schedule.position(epoch, 0, epochs, StageDecisions()), epochs)


def waiting(
    growth: Growth, labels: Tensor, epochs: int, decisions: StageDecisions | None = None
) -> WaitingStages:
    found = stages(growth, labels).waiting(decisions or StageDecisions(), epochs)
    assert found
    return found


@given(
    st.integers(20, 200),
    st.lists(st.floats(0.05, 1), min_size=1, max_size=6, unique=True),
    st.integers(0, 3),
)
def test_stages_are_prefixes_of_one_permutation(
    count: int, fractions: list[float], seed: int
) -> None:
    sizes = sorted({round(fraction * count) for fraction in fractions})
    schedule = stages(UniformGrowth(counts=sizes, until=NEXT), some_labels(count, 5), seed=seed)
    assert schedule.sizes(10) == sizes
    arrivals = arrival_permutation(count, seed)
    for number, size in enumerate(sizes):
        assert schedule.members(number).tolist() == sorted(arrivals[:size].tolist())


def test_fractions_counts_and_steps_are_three_ways_to_say_it() -> None:
    labels = some_labels(100, 10)
    ways = [
        UniformGrowth(fractions=[0.3, 0.6, 0.9, 1.0], until=NEXT),
        UniformGrowth(counts=[30, 60, 90, 100], until=NEXT),
        UniformGrowth(step=30, until=NEXT),
        UniformGrowth(step=30, at=times("1ep", "2ep", "3ep")),
    ]
    assert [stages(way, labels).sizes(10) for way in ways] == [[30, 60, 90, 100]] * 4
    assert stages(UniformGrowth(step=30, at=times("1ep")), labels).sizes(10) == [30, 60]
    assert len({tuple(stages(way, labels).members(1).tolist()) for way in ways}) == 1


def test_the_first_examples_are_pinned() -> None:
    """A change here changes every published run."""
    labels = torch.arange(40) % 10
    uniform = stages(UniformGrowth(fractions=[0.25, 1.0], at=times("5ep")), labels)
    assert labels[uniform.members(0)].tolist() == [6, 6, 7, 9, 1, 2, 8, 0, 4, 9]
    by_class = stages(ClassGrowth(5, 0.2, at=times("1ep", "2ep", "3ep", "4ep")), labels)
    assert labels[by_class.members(0)].tolist() == [3, 5, 3, 5, 9, 3, 5, 8, 3, 5]
    assert labels[by_class.members(1)].tolist() == [
        3,
        5,
        6,
        9,
        3,
        5,
        9,
        3,
        5,
        6,
        8,
        9,
        0,
        3,
        4,
        5,
        6,
    ]
    assert order(stages(SmoothTransition(0.9), labels), 0).tolist()[:8] == [
        28,
        17,
        10,
        4,
        31,
        18,
        26,
        20,
    ]


@given(
    st.integers(12, 150),
    st.integers(2, 10),
    st.integers(1, 10),
    st.sampled_from([0.0, 0.1, 0.33, 0.5, 1.0]),
    st.booleans(),
    st.integers(0, 3),
)
def test_class_growth_is_the_partition_of_the_paper(
    count: int, classes: int, number: int, share: float, even: bool, seed: int
) -> None:
    """Berariu et al. 2021, A.3, and the identities that follow from it."""
    labels = torch.cat([torch.arange(classes), some_labels(count - classes, classes, seed)])
    number = min(number, classes)
    added = ClassGrowth(number, share, even, until=NEXT).stage_indices(labels, classes, seed)
    assert sorted(torch.cat(added).tolist()) == list(range(count)), (
        "the stages partition the data; the last has them all"
    )
    groups = classes_dealt(classes, number, seed)
    assert sorted(label for group in groups for label in group) == list(range(classes)), (
        "step 1: disjoint sets of classes"
    )
    assert {len(group) for group in groups} <= {classes // number, -(-classes // number)}
    if even:
        return
    uniform = arrival_permutation(count, seed)[: round(share * count)]  # step 2
    pieces = [part[torch.isin(part, uniform)] for part in added]
    assert max(map(len, pieces)) - min(map(len, pieces)) <= 1, "step 3: r|D|/(n+1) each"
    for part, piece, group in zip(added, pieces, groups, strict=True):
        class_part = set(part.tolist()) - set(piece.tolist())
        remaining = set(range(count)) - set(uniform.tolist())
        assert class_part == {index for index in remaining if int(labels[index]) in group}, (
            "step 4: { (x, c) in D_c : c in C_i }"
        )


def classes_dealt(classes: int, number: int, seed: int) -> list[list[int]]:
    """The classes of each stage, from data with one example a class."""
    labels = torch.arange(classes)
    return [
        labels[part].tolist()
        for part in ClassGrowth(number, 0.0, until=NEXT).stage_indices(labels, classes, seed)
    ]


def test_stratified_class_growth_deals_every_class_alike() -> None:
    labels = torch.arange(400) % 8
    added = ClassGrowth(4, 0.6, stratified=True, until=NEXT).stage_indices(labels, 8, 0)
    groups = classes_dealt(8, 4, 0)
    for stage, part in enumerate(added):
        counts = torch.bincount(labels[part], minlength=8).tolist()
        for label, count in enumerate(counts):
            assert abs(count - (0.6 * 50 / 4 + (20 if label in groups[stage] else 0))) <= 1


def test_all_uniform_is_uniform_growth() -> None:
    labels = some_labels(60, 10)
    by_class = stages(ClassGrowth(3, 1.0, at=times("1ep", "2ep")), labels)
    uniform = stages(UniformGrowth(counts=[20, 40, 60], at=times("1ep", "2ep")), labels)
    assert all(torch.equal(by_class.members(stage), uniform.members(stage)) for stage in (1, 0, 2))


def test_class_order_is_keyed_by_the_seed() -> None:
    orders = {tuple(map(tuple, classes_dealt(10, 5, seed))) for seed in range(10)}
    assert len(orders) == 10


def test_a_smooth_transition_has_the_published_probabilities() -> None:
    """Over 500 epochs p is 0.5 and 0.9 at these epochs (papers' derived values).

    At the end it is 0.995 at worst.
    """
    check = {0.1: (3.0, 10), 0.3: (5.8, 19), 0.5: (10, 33), 0.7: (19.4, 65), 0.9: (65.8, 219)}
    for gamma, (half, most) in check.items():
        assert float(share_of_all(torch.tensor(half / 500), gamma)) == pytest.approx(0.5, abs=0.006)
        assert float(share_of_all(torch.tensor(most / 500), gamma)) == pytest.approx(0.9, abs=0.005)
        assert float(share_of_all(torch.tensor(1.0), gamma)) > 0.9948


@pytest.mark.parametrize("gamma", [0.3, 0.9])
def test_a_smooth_transition_draws_by_them(gamma: float) -> None:
    schedule = stages(SmoothTransition(gamma, fraction=0.5), some_labels(4000, 10))
    half = arrival_permutation(4000, 0)[:2000]
    for epoch in (0, 1, 5, 19):
        drawn = order(schedule, epoch, 20)
        progress = (epoch + (torch.arange(4000) + 1) / 4000) / 20
        outside = float((~torch.isin(drawn, half)).float().mean())
        expected = float(share_of_all(progress, gamma).mean()) / 2
        assert outside == pytest.approx(expected, abs=4 * math.sqrt(0.25 / 4000))
        early, late = (~torch.isin(drawn, half)).float().chunk(2)
        assert epoch or early.mean() < late.mean(), "within an epoch, too"
        assert torch.equal(order(schedule, epoch, 20), drawn)


def test_a_smooth_transition_ends_in_the_order_of_a_plain_run() -> None:
    for epoch in range(8):
        assert torch.equal(
            order(stages(SmoothTransition(0.0), some_labels(50, 5)), epoch),
            epoch_permutation(50, 0, epoch),
        )
    stuck = order(stages(SmoothTransition(1.0, fraction=0.2), some_labels(50, 5)), 7)
    assert sorted(stuck.tolist()) == sorted(arrival_permutation(50, 0)[:10].tolist() * 5), (
        "each of the part equally often"
    )


def test_a_grown_set_is_seen_in_the_order_of_a_plain_run() -> None:
    schedule = stages(UniformGrowth(fractions=[0.5, 1.0], at=times("50%")), some_labels(40, 4))
    assert [stage(schedule, epoch) for epoch in range(10)] == [0] * 5 + [1] * 5
    assert [len(order(schedule, epoch)) for epoch in (0, 4, 5, 9)] == [20, 20, 40, 40]
    assert torch.equal(order(schedule, 6), epoch_permutation(40, 0, 6))
    assert set(order(schedule, 4).tolist()) == set(arrival_permutation(40, 0)[:20].tolist())


def test_stages_wait_for_the_network_or_for_their_time() -> None:
    until = StageCriterion(0.9, at_most=Time("3ep"))
    schedule = waiting(UniformGrowth(step=10, until=until), some_labels(40, 4), epochs=20)
    for finished, accuracy in enumerate((0.5, 0.9, 0.1, 0.89, 0.2, 0.95, 0.99), start=1):
        if schedule.needs_decision(finished):
            schedule.advance(finished, accuracy)
        assert not schedule.needs_decision(finished), "an epoch counts once"
        assert schedule.ended == (finished == 7), "the last stage ends like the others"
    decisions = schedule.decisions
    assert decisions.starts == [2, 5, 6], "accuracy, time, accuracy"
    data = stages(UniformGrowth(step=10, until=until), some_labels(40, 4))
    assert [stage(data, epoch, decisions) for epoch in range(9)] == [0, 0, 1, 1, 1, 2, 3, 3, 3]
    history = RunHistory()
    history.stages = decisions
    restored = RunHistory()
    restored.load_state_dict(history.state_dict())
    assert restored.stages == decisions


@pytest.mark.parametrize(("last", "epochs"), [("3ep", 3), ("15%", 3), ("1ep", 1)])
def test_the_last_stage_may_last_a_fixed_time_whatever_its_accuracy(last: str, epochs: int) -> None:
    growth = UniformGrowth(step=20, until=StageCriterion(0.9, at_most=Time("2ep"), last=Time(last)))
    schedule = waiting(growth, some_labels(40, 4), epochs=20)
    accuracies = [0.5, 0.5, *[1.0] * epochs]
    for finished, accuracy in enumerate(accuracies, start=1):
        assert not schedule.ended
        schedule.advance(finished, accuracy)
    assert schedule.decisions.starts == [2], (
        "the accuracy that ends a stage does not count for the next"
    )
    assert schedule.ended
    longer = waiting(
        UniformGrowth(step=20, until=StageCriterion(0.9, last=Time("4ep"))),
        some_labels(40, 4),
        epochs=20,
        decisions=schedule.decisions,
    )
    assert not longer.ended, "a branch with a longer last stage continues"


def test_a_run_may_be_cut_off_by_max_epochs() -> None:
    for last, cut_off in ((None, True), (Time("5ep"), True), (Time("100%"), False)):
        schedule = waiting(
            UniformGrowth(step=20, until=StageCriterion(0.9, last=last)),
            some_labels(40, 4),
            epochs=3,
        )
        for finished in range(1, 4):
            assert not schedule.cut_off(finished - 1)
            schedule.advance(finished, 0.5)
        assert schedule.cut_off(3) == cut_off
        assert not schedule.ended


BAD: dict[str, tuple[Any, str]] = {
    "no sizes": (lambda: UniformGrowth(at=[]), "growth: set one of fractions"),
    "two sizes": (
        lambda: UniformGrowth(fractions=[1.0], step=3, at=[]),
        "growth: set one of fractions",
    ),
    "fractions that fall": (
        lambda: UniformGrowth(fractions=[0.5, 0.4], at=[]),
        r"fractions: \[0.5, 0.4\]: stages must grow",
    ),
    "a fraction of none": (
        lambda: UniformGrowth(fractions=[0.0, 1.0], at=[]),
        "stages must grow; set increasing",
    ),
    "no fraction": (
        lambda: UniformGrowth(fractions=[], at=[]),
        r"fractions: \[\]: stages must grow",
    ),
    "more than all": (
        lambda: UniformGrowth(fractions=[0.5, 1.5], at=[]),
        r"fractions: .* is at most 1.0",
    ),
    "counts that repeat": (
        lambda: UniformGrowth(counts=[5, 5], at=[]),
        r"counts: \[5, 5\]: stages must grow",
    ),
    "a step of none": (lambda: UniformGrowth(step=0, at=[]), "step: 0: set 1 or more"),
    "no times": (
        lambda: UniformGrowth(fractions=[1.0]),
        r"growth: set one of at: \[times\].* or until",
    ),
    "two kinds of times": (
        lambda: UniformGrowth(fractions=[1.0], at=[], until=NEXT),
        "growth: set one of at",
    ),
    "a stage inside an epoch": (
        lambda: UniformGrowth(step=3, at=times("40st")),
        "at: 40st: a stage begins with an epoch; set",
    ),
    "no stage": (lambda: ClassGrowth(0, 0.5, at=[]), "stages: 0: set 1 or more"),
    "a share beyond one": (
        lambda: ClassGrowth(2, 1.5, at=[]),
        r"uniform_fraction: 1.5: set a share in \[0, 1\]",
    ),
    "a gamma beyond one": (
        lambda: SmoothTransition(1.5),
        r"gamma: 1.5: set a number in \[0, 1\]",
    ),
    "a part of none": (
        lambda: SmoothTransition(0.5, 0),
        r"fraction: 0: set a share of the training split in \(0, 1\]",
    ),
    "an accuracy beyond one": (
        lambda: StageCriterion(99),
        r"until: train_accuracy: 99: set a share in \(0, 1\]",
    ),
    "a stage of no time": (
        lambda: StageCriterion(0.9, Time("0ep")),
        "until: at_most: 0ep: a stage lasts whole epochs",
    ),
    "a last stage of no time": (
        lambda: StageCriterion(0.9, last=Time("0%")),
        "until: last: 0%: a stage lasts whole epochs",
    ),
    "a last stage of steps": (
        lambda: StageCriterion(0.9, last=Time("30st")),
        "until: last: 30st: a stage lasts whole epochs",
    ),
    "a stage of steps": (
        lambda: StageCriterion(0.9, Time("30st")),
        "until: at_most: 30st: a stage lasts whole epochs",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_growth_that_is_none_is_refused(case: str) -> None:
    make, message = BAD[case]
    with pytest.raises(UserError, match=message):
        make()


IMPOSSIBLE: dict[str, tuple[Growth, str]] = {
    "more examples than there are": (
        UniformGrowth(counts=[10, 50], at=times("1ep")),
        "counts: .*: there are 40 training examples",
    ),
    "fractions too close": (
        UniformGrowth(fractions=[0.5, 0.501], at=times("1ep")),
        r"fractions: .* of 40 .* these are \[20, 20\], which do not grow",
    ),
    "more stages than examples": (
        UniformGrowth(step=30, at=times("1ep", "2ep")),
        "step: 30: 3 stages .* 40 training examples",
    ),
    "more stages than classes": (
        ClassGrowth(5, 0.5, until=NEXT),
        "stages: 5: there are 4 classes to deal; set fewer, or",
    ),
    "a stage that adds nothing": (
        ClassGrowth(41, 1.0, until=NEXT),
        "growth: stages of .*: each must add some; set fewer",
    ),
    "too few times": (
        UniformGrowth(fractions=[0.5, 1.0], at=[]),
        r"at: \[\]: 2 stages need 1 moments",
    ),
    "a time past from the start": (
        UniformGrowth(fractions=[0.5, 1.0], at=times("0ep")),
        "stage 0 would have no epoch of 10",
    ),
    "a time never reached": (
        UniformGrowth(fractions=[0.5, 1.0], at=times("10ep")),
        "stage 1 would have no epoch of 10",
    ),
    "more stages than epochs": (
        UniformGrowth(step=2, until=NEXT),
        "until: 20 stages never fit into 10 epochs; set fewer stages",
    ),
    "a last stage that never fits": (
        UniformGrowth(step=20, until=StageCriterion(0.9, last=Time("10ep"))),
        (
            "until: last: 10ep: with 1 stages before it more than max_epochs: 10; set a larger "
            "max_epochs"
        ),
    ),
    "times that fall": (
        UniformGrowth(step=10, at=times("6ep", "50%")),
        r"at: \[6ep, 50%\]: stage 1 would have no epoch of 10",
    ),
}


@pytest.mark.parametrize("case", IMPOSSIBLE)
def test_growth_that_the_data_or_the_run_do_not_allow_is_refused(case: str) -> None:
    growth, message = IMPOSSIBLE[case]
    with pytest.raises(UserError, match=message):
        check(growth, torch.arange(40) % 4)


def check(growth: Growth, labels: Tensor) -> None:
    schedule = stages(growth, labels)
    schedule.check()
    schedule.check_times(10)
