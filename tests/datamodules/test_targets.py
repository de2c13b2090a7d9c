"""Data sets of other tasks than classification, and of inputs that are not images."""

from typing import Any, Literal

import pytest
import torch
from torch import Tensor

from datamodules import (
    Blur,
    ClassGrowth,
    CropFlip,
    Digits,
    ExampleDataset,
    ImageDataModule,
    LabelNoise,
    LabelPermutation,
    UniformGrowth,
    VerticalFlip,
    WhiteNoise,
)
from datamodules.datasets.split import Split, SubsetSplit, TensorSplit
from datamodules.growth.stage_criterion import StageCriterion
from plasticity_lab.errors import UserError
from plasticity_lab.timing import Time
from tests.regressions import regression
from tests.runs import tiny
from tests.test_bad_input import refused

ALWAYS = Time("0ep"), Time("100%")


class Vectors(ExampleDataset):
    """Vectors of eight numbers and two linear functions of them."""

    def read(self, split: Literal["train", "test"]) -> Split:
        draws = torch.Generator().manual_seed(int(split == "test"))
        inputs = torch.randn(120, 8, generator=draws)
        return TensorSplit(inputs, inputs[:, :2] * 3)


class MeanGrey(Digits):
    """Digits whose target is their mean grey level."""

    def read(self, split: Literal["train", "test"]) -> Split:
        images = super().read(split).tensor()
        return TensorSplit(images, images.float().mean((1, 2, 3)) / 255)


def module(**arguments: Any) -> ImageDataModule:
    return ImageDataModule(Vectors(), **{"batch_size": 32, **arguments})


def test_sizes_come_from_the_data() -> None:
    sizes = module()
    assert (sizes.num_outputs, sizes.in_channels, sizes.image_size) == (2, 8, 1)
    assert sizes.num_classes is None
    images = ImageDataModule(MeanGrey())
    assert (images.num_outputs, images.in_channels, images.image_size) == (1, 1, 16)


def test_streamed_batches_of_vectors_are_the_resident_ones() -> None:
    def batches(resident: bool) -> list[Tensor]:
        loader = module(resident=resident, workers=1).train_dataloader()
        return [part for batch in loader for part in batch.batch]

    resident, streamed = batches(True), batches(False)
    assert all(torch.equal(*pair) for pair in zip(resident, streamed, strict=True))
    inputs, targets, indices = resident[:3]
    assert torch.equal(targets, inputs[:, :2] * 3)
    assert torch.equal(inputs, Vectors().read("train").tensor()[indices])


def test_inputs_that_are_not_images_reach_the_network_as_they_are() -> None:
    data = module()
    inputs = torch.randn(3, 8)
    assert data.normalise(inputs) is inputs
    assert float(ImageDataModule(MeanGrey()).normalise(torch.zeros(2, 1, 16, 16)).max()) < 0


def test_examples_without_classes_are_chosen_regardless() -> None:
    splits = Vectors(subset=50, validation=0.25).splits(0)
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (50, 30, 120)
    train, held_out = splits.train, splits.validation
    assert isinstance(train, SubsetSplit)
    assert isinstance(held_out, SubsetSplit)
    assert not set(train.indices.tolist()) & set(held_out.indices.tolist())
    assert train.strata is None
    again = Vectors(subset=50, validation=0.25).splits(0).train
    assert again.fingerprint == train.fingerprint != Vectors(subset=50).splits(0).train.fingerprint


def test_strata_need_not_be_the_targets() -> None:
    class Halves(TensorSplit):
        """Real-valued targets, stratified by their sign."""

        @property
        def strata(self) -> Tensor:
            return (self.targets > 0).long()

    split = Halves(torch.randn(40, 3), torch.tensor([-1.0, 1.0]).repeat_interleave(20))
    chosen = split.choose(10, torch.Generator().manual_seed(0))
    assert (split.targets[chosen] > 0).sum() == 5
    part = SubsetSplit(split, torch.arange(10, 30))
    assert part.strata is not None
    assert part.strata.tolist() == [0] * 10 + [1] * 10


def test_a_fingerprint_changes_with_what_is_read() -> None:
    inputs = torch.arange(8.0).view(4, 2)
    splits = [
        TensorSplit(inputs, torch.zeros(4)),
        TensorSplit(inputs, torch.zeros(4, 1)),
        TensorSplit(inputs, torch.zeros(4, dtype=torch.int32)),
        TensorSplit(inputs.view(torch.int32), torch.zeros(4)),
        TensorSplit(inputs, torch.ones(4)),
    ]
    assert len({split.fingerprint for split in splits}) == len(splits)


class Bytes(Vectors):
    """Integers where numbers are needed."""

    def read(self, split: Literal["train", "test"]) -> Split:
        return TensorSplit(torch.zeros(9, 8, dtype=torch.uint8), torch.zeros(9))


class Other(Vectors):
    """A test split of other targets."""

    def read(self, split: Literal["train", "test"]) -> Split:
        return TensorSplit(torch.zeros(9, 8), torch.zeros(9, 1 + (split == "test")))


class Floats(Digits):
    """Images that are not in grey levels."""

    def read(self, split: Literal["train", "test"]) -> Split:
        return TensorSplit(torch.zeros(9, 1, 4, 4), torch.arange(9), list("abcdefghi"))


REFUSED: dict[str, tuple[Any, str]] = {
    "growth by class": (
        module(growth=ClassGrowth(2, 0.5, at=[Time("1ep")])),
        r"growth: ClassGrowth\(.*\): the data have no classes; use UniformGrowth",
    ),
    "stages that end by accuracy": (
        module(growth=UniformGrowth(step=60, until=StageCriterion(0.9))),
        "until: ends a stage by train/accuracy, and the data have no classes",
    ),
    "wrong labels": (
        module(deficits=[LabelNoise(0.5, ALWAYS)]),
        r"deficits: LabelNoise\(fraction=0.5\): changes class labels, .* no classes; remove it",
    ),
    "permuted labels": (
        ImageDataModule(MeanGrey(), deficits=[LabelPermutation(ALWAYS)]),
        "deficits: LabelPermutation: changes class labels, and the data have no classes",
    ),
    "blurred vectors": (
        module(deficits=[Blur(4, ALWAYS)]),
        r"deficits: Blur\(size=4\): needs images, and inputs are torch.float32 \(8,\); remove it",
    ),
    "vectors upside down": (module(deficits=[VerticalFlip(ALWAYS)]), "VerticalFlip: needs images"),
    "noise for vectors": (module(deficits=[WhiteNoise(ALWAYS)]), "WhiteNoise: needs images"),
    "cropped vectors": (
        module(augmentation=CropFlip()),
        r"augmentation: CropFlip: needs images, and inputs are torch.float32 \(8,\); remove it",
    ),
    "integers": (
        ImageDataModule(Bytes()),
        "dataset: Bytes: inputs are torch.uint8, not floating-point numbers; convert them",
    ),
    "other targets": (ImageDataModule(Other()), "dataset: train and test examples differ"),
    "floats as images": (
        ImageDataModule(Floats()),
        r"dataset: Floats: inputs are torch.float32 \(1, 4, 4\), not images; give uint8",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_a_task_does_not_have_is_refused(name: str) -> None:
    data, message = REFUSED[name]
    with pytest.raises(UserError, match=message):
        _ = data.stages


def test_inputs_of_another_precision_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    refused(
        ["fit", *tiny(regression("DoubleVectors"))],
        "dataset: DoubleVectors: has inputs of torch.float64, and the network is of torch.float32; "
        r"convert them by .float\(\)",
        capsys,
    )
