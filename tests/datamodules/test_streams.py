"""Stages that replace each other, and tasks that change with them."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from datamodules import (
    ClassGrowth,
    ClassStream,
    DataStages,
    Digits,
    ExampleStream,
    ImageDataModule,
    LabelRemap,
    PixelPermutation,
    RandomLabels,
    Split,
    StageCriterion,
    StageTransform,
    TaskStream,
)
from datamodules.growth.stage_schedule import StageSchedule
from datamodules.growth.stream import Passes, Recurrence
from lightning_modules.networks import MLP
from plasticity_lab.errors import UserError
from plasticity_lab.randomness import generator
from plasticity_lab.runs.parse import parse
from plasticity_lab.surgery.construction import construct
from plasticity_lab.surgery.initialisation import init_parameters
from plasticity_lab.timing import Time
from tests.runs import fit, logged, resume, state, tiny

ONE = Time("1ep")


def schedule(growth: DataStages, labels: Tensor, seed: int = 0) -> StageSchedule:
    stages = StageSchedule(growth, labels, int(labels.max()) + 1, seed)
    stages.check()
    return stages


def data_of(growth: DataStages, transforms: list[StageTransform] | None = None) -> ImageDataModule:
    return ImageDataModule(Digits(subset=200), 32, growth, stage_transforms=transforms, seed=3)


# Which examples a stage has.


@given(st.integers(2, 40), st.data())
def test_windows_share_their_overlap_and_cover_a_pass(things: int, data: st.DataObject) -> None:
    size = data.draw(st.integers(1, things))
    overlap = data.draw(st.integers(0, size - 1))
    passes = Passes("test", things, size, overlap, "redraw", 5)
    windows = [passes.window(number).tolist() for number in range(passes.in_pass)]
    assert all(len({*window}) == size for window in windows)
    for earlier, later in pairwise(windows):
        assert {*earlier} & {*later} == {*earlier[size - overlap :]} == {*later[:overlap]}
    assert len({thing for window in windows for thing in window}) > things - (size - overlap)


@pytest.mark.parametrize("recurrence", ["cycle", "redraw"])
def test_a_pass_comes_again(recurrence: Recurrence) -> None:
    passes = Passes("test", 30, 10, 0, recurrence, 5)
    first, second = ([*map(passes.window, range(start, start + 3))] for start in (0, 3))
    same = all(map(torch.equal, first, second))
    assert same == (recurrence == "cycle")
    assert torch.cat(second).sort().values.tolist() == [*range(30)]
    assert passes.count is None
    assert Passes("test", 30, 10, 0, "none", 5).count == 3


def test_stages_of_a_class_stream_have_the_classes_in_the_order_of_class_growth() -> None:
    labels = torch.arange(10).repeat(7)
    stream = schedule(ClassStream(2, every=ONE), labels)
    growth = schedule(ClassGrowth(5, 0.0, every=ONE), labels)
    so_far: set[int] = set()
    for stage in range(5):
        own = {*labels[stream.members(stage)].tolist()}
        assert len(own) == 2
        assert not own & so_far
        so_far |= own
        assert {*labels[growth.members(stage)].tolist()} == so_far
        assert stream.size(stage) == len(stream.members(stage)) == 14
        brought = growth.stages.classes(stage)
        assert brought is not None
        assert {*brought.tolist()} == own
    assert stream.sizes(5) == [14] * 5


def test_a_class_that_is_more_frequent_makes_a_larger_stage() -> None:
    labels = torch.tensor([0] * 5 + [1] * 2 + [2] * 9)
    stream = schedule(ClassStream(1, every=ONE), labels)
    assert sorted(stream.sizes(3)) == [2, 5, 9]
    assert [stream.size(stage) for stage in range(3)] == [
        len(stream.members(stage)) for stage in range(3)
    ]


def test_a_thousand_stages_are_told_without_listing_them() -> None:
    stream = schedule(ClassStream(2, recurrence="redraw", every=ONE), torch.arange(10).repeat(3))
    assert stream.count(1000) == 1000
    assert {*stream.sizes(1000)} == {6}
    assert stream.growth is not None
    assert len(stream.growth.times()) == 1


# What the examples of a stage look like.


def test_a_permutation_moves_training_validation_and_test_images_alike() -> None:
    data = data_of(TaskStream(every=ONE), [PixelPermutation()])
    source = reference_permutation(256, 1.0, seed=3, task=0)
    loaders: list[tuple[Any, Split]] = [
        (data.train_dataloader(), data.splits.train),
        (data.val_dataloader(), data.splits.validation),
        (data.test_dataloader(), data.splits.test),
    ]
    for loader, split in loaders:
        loaded = next(iter(loader))
        shown = data.on_after_batch_transfer(loaded, 0).inputs
        stored = split.__getitems__(loaded.indices.tolist()).flatten(1)[:, source]
        assert torch.equal(shown, data.normalise(stored.reshape(loaded.inputs.shape)))


def reference_permutation(positions: int, fraction: float, seed: int, task: int) -> list[int]:
    """Where each position's value comes from, in plain Python."""
    draws = generator(seed, "PixelPermutation", task)
    chosen = torch.randperm(positions, generator=draws).tolist()[: round(fraction * positions)]
    order = torch.randperm(len(chosen), generator=draws).tolist()
    source = [*range(positions)]
    for place, position in enumerate(chosen):
        source[position] = chosen[order[place]]
    return source


@pytest.mark.parametrize("fraction", [0.0, 0.25, 1.0])
def test_a_share_of_the_positions_is_permuted(fraction: float) -> None:
    data = data_of(TaskStream(every=ONE), [PixelPermutation(fraction)])
    raw = next(iter(data.train_dataloader())).batch
    shown = data.in_stage(raw, "train", 4).inputs.flatten(1)
    expected = raw.inputs.flatten(1)[:, reference_permutation(256, fraction, 3, 4)]
    assert torch.equal(shown, expected)
    same = sum(
        place == source for place, source in enumerate(reference_permutation(256, fraction, 3, 4))
    )
    assert same >= 256 * (1 - fraction)
    assert (same == 256) == (fraction == 0)


def test_channels_move_together_or_not() -> None:
    images = torch.arange(2 * 3 * 4 * 4, dtype=torch.uint8).reshape(2, 3, 4, 4)
    data = data_of(TaskStream(every=ONE))
    raw = next(iter(data.train_dataloader())).batch._replace(inputs=images)
    context = data.context("train")._replace(level=1)
    together = PixelPermutation()(raw, context).inputs.flatten(2)
    assert torch.equal(together[:, 1] - together[:, 0], torch.full((2, 16), 16, dtype=torch.uint8))
    apart = PixelPermutation(values="all")(raw, context).inputs.flatten(2)
    assert not torch.equal(apart[:, 1] - apart[:, 0], torch.full((2, 16), 16, dtype=torch.uint8))
    assert apart[0].flatten().sort().values.tolist() == [*range(48)]


@pytest.mark.parametrize("kind", [PixelPermutation, LabelRemap, RandomLabels])
def test_tasks_are_drawn_anew_or_come_again(kind: Any) -> None:
    data = data_of(TaskStream(every=ONE), [kind(), kind(cycle=2)])
    raw = next(iter(data.train_dataloader())).batch
    anew, again = data.transforms.of_stages
    made = [one(raw, data.context("train")._replace(level=one.task(4))) for one in (anew, again)]
    first = again(raw, data.context("train")._replace(level=again.task(0)))
    assert same_batch(made[1], first)
    assert not same_batch(made[0], first)


def same_batch(one: Any, other: Any) -> bool:
    return torch.equal(one.inputs, other.inputs) and torch.equal(one.targets, other.targets)


def test_names_of_classes_are_exchanged_and_some_stay() -> None:
    data = data_of(TaskStream(every=ONE), [LabelRemap(0.5)])
    labels = torch.arange(10)
    raw = next(iter(data.train_dataloader())).batch._replace(targets=labels)
    for stage in range(20):
        names = data.in_stage(raw, "test", stage).targets
        assert names.sort().values.tolist() == labels.tolist()
        assert (names == labels).sum() >= 5
    assert (
        len({tuple(data.in_stage(raw, "test", stage).targets.tolist()) for stage in range(20)}) > 10
    )


def test_random_labels_are_those_of_the_draws_and_nested_in_the_share() -> None:
    data = data_of(TaskStream(every=ONE))
    raw = next(iter(data.train_dataloader())).batch
    made = {
        share: RandomLabels(share)(raw, data.context("train")._replace(level=2)).targets
        for share in (0.0, 0.3, 1.0)
    }
    draws = generator(3, "RandomLabels", "train", 2)
    chosen = torch.rand(200, generator=draws)
    labels = torch.randint(10, (200,), generator=draws)
    assert torch.equal(made[0.0], raw.targets)
    assert torch.equal(made[1.0], labels[raw.indices])
    some = chosen[raw.indices] < 0.3
    assert torch.equal(made[0.3], torch.where(some, labels[raw.indices], raw.targets))
    assert 0 < some.sum() < len(some)


def test_labels_of_a_stage_are_numbered_in_it() -> None:
    data = data_of(ClassStream(2, relabel=True, every=ONE))
    assert (data.num_classes, data.num_outputs, data.class_names) == (2, 2, ["0", "1"])
    train = data.splits.train
    for stage in range(5):
        classes = data.stages.stages.classes(stage)
        assert classes is not None
        for split in (train, data.splits.test):
            shown = data.stages.shown(split.targets, stage)
            assert shown is not None
            assert {*split.targets[shown].tolist()} == {*classes.tolist()}
            labels = data.stages.stages.relabelled(split.targets[shown], stage)
            assert torch.equal(classes[labels], split.targets[shown])


# Whole runs against plain loops.

MLP_MODEL: dict[str, Any] = {
    "model": {
        "init_args": {
            "network": {
                "class_path": "lightning_modules.networks.MLP",
                "init_args": {"widths": [32], "norm": "none"},
            },
            "optimizer": {
                "class_path": "torch.optim.Adam",
                "init_args": {"lr": 0.003, "weight_decay": 0.0},
            },
            "lr_scheduler": None,
        }
    }
}


def stream_run(*transforms: dict[str, Any], epochs: int = 6) -> dict[str, Any]:
    return {
        "trainer": {"max_epochs": epochs},
        "data": {
            "init_args": {
                "growth": {"class_path": "datamodules.TaskStream", "init_args": {"every": "2ep"}},
                "stage_transforms": [*transforms],
            }
        },
    }


def plain_stream(permute: bool, epochs: int = 6) -> tuple[nn.Module, list[float]]:
    """Train on a stream in a plain loop; return the network and each epoch's online accuracy."""
    data = ImageDataModule(Digits(subset=100))
    train = data.splits.train
    images, labels = train.tensor(), train.targets
    network = construct(MLP, 1, 10, 16, widths=[32], norm="none")
    init_parameters(network, 0)
    optimizer = torch.optim.Adam(network.parameters(), 0.003)
    accuracies = []
    for epoch in range(epochs):
        task = epoch // 2
        shown, targets = images, labels
        if permute:
            source = reference_permutation(256, 1.0, 0, task)
            shown = images.flatten(1)[:, source].reshape(images.shape)
        else:
            draws = generator(0, "RandomLabels", "train", task)
            torch.rand(100, generator=draws)
            targets = torch.randint(10, (100,), generator=draws)
        order, correct = torch.randperm(100, generator=generator(0, "order", epoch)), 0
        for batch in torch.split(order, 32):
            logits = network(data.normalise(shown[batch]))
            optimizer.zero_grad()
            loss = F.cross_entropy(logits, targets[batch])
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            correct += int((logits.argmax(1) == targets[batch]).sum())
        accuracies.append(correct / 100)
    return network, accuracies


@pytest.mark.parametrize("name", ["PixelPermutation", "RandomLabels"])
def test_a_stream_is_a_plain_loop(name: str) -> None:
    run = fit(*tiny(MLP_MODEL, stream_run({"class_path": f"datamodules.{name}"})))
    network, accuracies = plain_stream(name == "PixelPermutation")
    expected = network.state_dict()
    assert all(
        torch.equal(value, expected[key]) for key, value in run.model.network.state_dict().items()
    )
    online = [value for _, value in logged(run.place.directory)["train/accuracy"]]
    assert online == pytest.approx(accuracies, abs=1e-6)


def test_evaluation_is_of_the_stage_that_was_trained_last() -> None:
    whole = {"data": {"init_args": {"dataset": {"init_args": {"subset": None}}}}}
    stream = stream_run({"class_path": "datamodules.PixelPermutation"})
    finished = fit(*tiny(MLP_MODEL, stream, whole))
    values = logged(finished.place.directory)
    data, network = finished.data, finished.model.network.eval()
    test = data.splits.test
    expected = []
    for task in range(3):
        source = reference_permutation(256, 1.0, 0, task)
        images = test.tensor().flatten(1)[:, source].reshape(test.tensor().shape)
        right = network(data.normalise(images)).argmax(1) == test.targets
        expected.append(float(right.float().mean()))
    assert values["val/accuracy"][-1][1] == pytest.approx(expected[2])
    assert values["test/accuracy"][-1][1] == pytest.approx(expected[2])
    assert expected[2] > max(expected[:2]) + 0.05


def test_a_class_stream_is_evaluated_on_its_own_classes() -> None:
    growth = {
        "class_path": "datamodules.ClassStream",
        "init_args": {"classes_per_stage": 2, "relabel": True, "at": ["1ep", "2ep", "3ep", "5ep"]},
    }
    finished = fit(
        *tiny(
            MLP_MODEL,
            {
                "trainer": {"max_epochs": 7},
                "data": {"init_args": {"growth": growth, "batch_size": 5}},
            },
        )
    )
    data, test = finished.data, finished.data.splits.test
    classes = data.stages.stages.classes(4)
    chosen = [label in classes.tolist() for label in test.targets.tolist()]
    inputs = data.normalise(test.tensor()[chosen])
    labels = torch.tensor(
        [classes.tolist().index(label) for label in test.targets[chosen].tolist()]
    )
    right = finished.model.network.eval()(inputs).argmax(1) == labels
    values = logged(finished.place.directory)
    assert values["test/accuracy"][-1][1] == pytest.approx(float(right.float().mean()))
    assert values["val/accuracy"][-1][1] == values["test/accuracy"][-1][1]
    assert values["data/stage"][-1][1] == 4


@pytest.mark.slow
def test_a_stream_goes_on_from_its_checkpoint_in_a_longer_run() -> None:
    """Later stages make no difference to earlier ones: a stream has no length."""
    transform = {"class_path": "datamodules.PixelPermutation"}
    long = fit(*tiny(MLP_MODEL, stream_run(transform)))
    fit(*tiny(MLP_MODEL, stream_run(transform, epochs=4)), "--run_dir", "short")
    config = parse(["fit", *tiny(MLP_MODEL, stream_run(transform)), "--run_dir", "long"])
    branch = resume(config, Path("short/checkpoints/last.ckpt"))
    assert state(branch) == state(long)


# What is refused.

LABELS = torch.arange(10).repeat(4)
BAD: dict[str, tuple[Any, str]] = {
    "more stages than classes": (
        lambda: schedule(ClassStream(2, every=ONE), LABELS).check_times(12),
        "every: 1ep: makes 12 stages of 12 epochs, and there are 5; set an every that makes 5 "
        "stages, or another max_epochs, or recurrence: cycle",
    ),
    "fewer stages than classes": (
        lambda: schedule(ClassStream(2, every=ONE), LABELS).check_times(3),
        "every: 1ep: makes 3 stages of 3 epochs, and there are 5",
    ),
    "more moments than stages": (
        lambda: schedule(ClassStream(5, at=[ONE, Time("2ep")]), LABELS),
        r"at: \[1ep, 2ep\]: 2 stages need 1 moments",
    ),
    "classes that would never be there": (
        lambda: schedule(ClassStream(3, every=ONE), LABELS),
        "classes_per_stage: 3: 1 of 10 classes would never be there",
    ),
    "more classes than there are": (
        lambda: schedule(ClassStream(12, every=ONE), LABELS),
        "classes_per_stage: 12: there are 10 classes to deal",
    ),
    "no classes": (
        lambda: ClassStream(2, every=ONE).arrange(torch.rand(5), None, 0),
        "the data have no classes; use ExampleStream",
    ),
    "more examples than there are": (
        lambda: schedule(ExampleStream(50, every=ONE), LABELS),
        "count: 50: there are 40 training examples",
    ),
    "nothing new": (
        lambda: ExampleStream(5, overlap=5, every=ONE),
        "overlap: 5: a stage has 5, of which at least one is new; set 0 to 4",
    ),
    "any number of stages that wait": (
        lambda: schedule(TaskStream(until=StageCriterion(0.9)), LABELS),
        "until: the run ends with the last stage, and there are any number of them",
    ),
    "a stage of steps": (
        lambda: TaskStream(every=Time("100st")),
        "every: 100st: a stage begins with an epoch",
    ),
    "stages of less than an epoch": (
        lambda: schedule(TaskStream(every=Time("5%")), LABELS).check_times(10),
        "every: 5%: is less than one of 10 epochs, and a stage lasts whole epochs",
    ),
    "one stage": (
        lambda: schedule(TaskStream(every=Time("20ep")), LABELS).check_times(10),
        "every: 20ep: begins no second stage in 10 epochs; set a shorter time",
    ),
    "no task": (lambda: PixelPermutation(cycle=0), "cycle: 0: set 1 or more tasks"),
    "a share beyond one": (lambda: LabelRemap(1.5), "fraction: 1.5: set the share of classes"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_is_refused(case: str) -> None:
    make, message = BAD[case]
    with pytest.raises(UserError, match=message):
        make()


@pytest.mark.slow
def test_a_stream_is_read_through_workers_as_from_memory() -> None:
    streamed = {"data": {"init_args": {"resident": False, "workers": 2}}}
    tasks = stream_run({"class_path": "datamodules.PixelPermutation"}, epochs=4)
    classes = {
        "data": {
            "init_args": {
                "growth": {
                    "class_path": "datamodules.ClassStream",
                    "init_args": {"classes_per_stage": 5, "at": ["1ep"]},
                }
            }
        }
    }
    for stream in (tasks, classes):
        assert state(fit(*tiny(MLP_MODEL, stream, streamed))) == state(
            fit(*tiny(MLP_MODEL, stream))
        )
