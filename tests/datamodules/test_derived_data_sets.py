"""Data sets made of others: some classes, the targets of a teacher, Gaussian inputs."""

from typing import Any

import pytest
import torch
from torch import nn

from datamodules import (
    ClassSubset,
    Digits,
    GaussianInputs,
    ImageDataModule,
    TargetAffine,
    TaskStream,
    TeacherTargets,
    WhitenedImages,
)
from lightning_modules.networks import MLP
from plasticity_lab.errors import UserError
from plasticity_lab.randomness import generator
from plasticity_lab.surgery.construction import construct
from plasticity_lab.surgery.initialisation import init_parameters, redraw
from plasticity_lab.timing import Time
from tests.registry import REGRESSION
from tests.runs import fit, logged, state, tiny

# Some classes.


def test_some_classes_are_numbered_in_the_order_named() -> None:
    whole, some = Digits().splits(0), ClassSubset(Digits(), ["7", "2"]).splits(0)
    for split, part in ((whole.train, some.train), (whole.test, some.test)):
        chosen = (split.targets == 7) | (split.targets == 2)
        assert torch.equal(part.tensor(), split.tensor()[chosen])
        assert torch.equal(part.targets, (split.targets[chosen] == 2).long())
    assert [*some.train.classes] == ["7", "2"]
    assert some.train.fingerprint != ClassSubset(Digits(), ["2", "7"]).splits(0).train.fingerprint


def test_a_subset_is_of_these_classes_and_stratified() -> None:
    splits = ClassSubset(Digits(), ["1", "3", "5"], subset=30, validation=0.2).splits(4)
    assert torch.bincount(splits.train.targets).tolist() == [10, 10, 10]
    assert {*splits.validation.targets.tolist()} == {0, 1, 2}
    data = ImageDataModule(ClassSubset(Digits(), ["1", "3"]), 2000)
    batch = data.on_after_batch_transfer(next(iter(data.train_dataloader())), 0)
    assert abs(float(batch.inputs.mean())) < 1e-5
    assert data.num_classes == 2


# Targets of a teacher.


def teacher(outputs: int = 3) -> nn.Module:
    return construct(MLP, 1, outputs, 16, widths=[20])


@pytest.mark.parametrize("function", ["identity", "sine"])
def test_targets_are_what_the_teacher_makes_of_what_the_student_sees(function: Any) -> None:
    data = ImageDataModule(TeacherTargets(Digits(subset=50), teacher(), function, 50.0), 20, seed=7)
    network = teacher()
    names = [name for name, _ in network.named_modules()]
    network.load_state_dict(
        redraw(network, names, lambda name: (7, "TeacherTargets", name)), strict=True
    )
    for loaded in (next(iter(data.train_dataloader())), next(iter(data.test_dataloader()))):
        batch = data.on_after_batch_transfer(loaded, 0)
        outputs = network.eval()(batch.inputs).detach()
        expected = torch.sin(50.0 * outputs.double()).float() if function == "sine" else outputs
        torch.testing.assert_close(batch.targets, expected, rtol=1e-4, atol=1e-4)
    assert (data.num_classes, data.num_outputs) == (None, 3)


def test_a_teacher_is_not_the_student_and_follows_the_seed() -> None:
    student = teacher()
    init_parameters(student, 0)
    first, other = (TeacherTargets(Digits(subset=50), teacher()).splits(seed) for seed in (0, 1))
    with torch.no_grad():
        own = student.eval()(ImageDataModule(Digits(subset=50)).normalise(first.train.tensor()))
    assert not torch.allclose(own, first.train.targets)
    assert not torch.equal(first.train.targets[:10], other.train.targets[:10])


def test_a_network_made_by_hand_keeps_its_values() -> None:
    class Sum(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.flatten(1).sum(1, keepdim=True)

    splits = TeacherTargets(GaussianInputs(5, 100, 10), Sum()).splits(0)
    torch.testing.assert_close(splits.train.targets, splits.train.tensor().sum(1, keepdim=True))


def test_targets_are_scaled_and_shifted_by_stage() -> None:
    transform = TargetAffine([0.0, 10.0], [1.0, 2.0])
    data = ImageDataModule(
        TeacherTargets(Digits(subset=50), teacher()),
        20,
        TaskStream(every=Time("1ep")),
        stage_transforms=[transform],
    )
    raw = next(iter(data.train_dataloader())).batch
    assert torch.equal(data.in_stage(raw, "train", 0).targets, raw.targets)
    for stage in (1, 5):
        assert torch.equal(data.in_stage(raw, "test", stage).targets, raw.targets * 2 + 10)


@pytest.mark.slow
def test_a_regression_on_a_teacher_is_trained_alike_streamed_and_resident() -> None:
    streamed = {"data": {"init_args": {"resident": False, "workers": 2}}}
    run = fit(*tiny(REGRESSION))
    assert state(fit(*tiny(REGRESSION, streamed))) == state(run)
    losses = [value for _, value in logged(run.place.directory)["train/loss"]]
    assert losses[-1] < losses[0]


def test_gaussian_inputs_are_those_of_the_draws() -> None:
    train = GaussianInputs(4, 30, 10, std=10.0).splits(5).train
    draws = torch.randn(30, 4, generator=generator(5, "GaussianInputs", "train"))
    assert torch.equal(train.tensor(), draws * 10)


BAD: dict[str, tuple[Any, str]] = {
    "a class that is none": (
        lambda: ClassSubset(Digits(), ["1", "ten"]).splits(0),
        "classes: ten: the data have no such class; the nearest are",
    ),
    "no class": (lambda: ClassSubset(Digits(), []), "name some classes, each once"),
    "a subset of all": (
        lambda: ClassSubset(Digits(subset=10), ["1"]),
        "dataset: Digits: its subset and validation would be of all classes; set those of",
    ),
    "whitened, a subset of all": (
        lambda: ClassSubset(WhitenedImages(Digits(subset=10)), ["1"]),
        "dataset: WhitenedImages: its subset and validation would be of all classes",
    ),
    "whitened, a validation split of all": (
        lambda: ClassSubset(WhitenedImages(Digits(validation=0.5)), ["1"]),
        "dataset: WhitenedImages: its subset and validation would be of all classes",
    ),
    "taught, a subset of all": (
        lambda: ClassSubset(TeacherTargets(Digits(subset=10), teacher()), ["1"]),
        "dataset: TeacherTargets: its subset and validation would be of all classes",
    ),
    "classes of a teacher's values": (
        lambda: ClassSubset(TeacherTargets(Digits(), teacher()), ["1"]).splits(0),
        "classes: 1: the data have no such class; the nearest are none: it has no classes",
    ),
    "a teacher of another size": (
        lambda: TeacherTargets(Digits(), construct(MLP, 3, 1, 32)).splits(0),
        r"teacher: MLP: cannot take images \(channels, height, width\) = \(1, 16, 16\)",
    ),
    "a teacher of no vectors": (
        lambda: TeacherTargets(Digits(), nn.Identity()).splits(0),
        r"teacher: Identity: makes \(2, 1, 16, 16\) of 2 inputs; it must return \(batch, numbers\)",
    ),
    "a task of classes": (
        lambda: TargetAffine([1.0]).check(Digits().splits(0).train),
        "changes real-valued targets, and the data have classes",
    ),
    "a scale of none": (lambda: TargetAffine(scales=[0.0]), "0 leaves nothing to learn"),
    "no deviation": (lambda: GaussianInputs(3, std=0.0), "std: 0.0: set a number above 0"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_is_refused(case: str) -> None:
    make, message = BAD[case]
    with pytest.raises(UserError, match=message):
        make()
