"""What each deficit does to a batch."""

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_sample_images
from torch import Tensor
from torch.nn import functional as F

from datamodules import (
    Batch,
    BatchContext,
    Blur,
    CropFlip,
    Deficit,
    Digits,
    LabelNoise,
    LabelPermutation,
    VerticalFlip,
    WhiteNoise,
)
from datamodules.transforms.batch_transforms import BatchTransforms
from datamodules.transforms.blur import blur, resize_matrix
from datamodules.transforms.label_deficits import class_permutation, label_shifts
from plasticity_lab.errors import UserError
from plasticity_lab.schedule import RunSchedule
from plasticity_lab.studies.state_hash import state_hash
from plasticity_lab.timing import Position, Time
from tests.probes import Darken, Dim, Fade
from tests.runs import fit, tiny

ALWAYS = (Time("0ep"), Time("100%"))
NEVER = (Time("0ep"), Time("0ep"))
CPU = torch.device("cpu")
MOMENTS = [
    Position(0, 0),
    Position(1, 4),
    Position(2, 7),
    Position(2, 8),
    Position(2, 9),
    Position(3, 12),
]


def photographs() -> Tensor:
    """60 real colour patches of 32 x 32 pixels."""
    patches = [
        torch.tensor(picture).unfold(0, 32, 70).unfold(1, 32, 130)
        for picture in load_sample_images().images
    ]
    return torch.cat([patch.flatten(0, 1) for patch in patches])[:60].contiguous()


def batch(images: Tensor | None = None) -> Batch:
    pixels = photographs() if images is None else images
    return Batch(pixels, torch.arange(len(pixels)) % 10, torch.arange(len(pixels)))


def context(**changes: Any) -> BatchContext:
    three = torch.tensor([120.0, 110.0, 100.0]), torch.tensor([60.0, 61.0, 62.0])
    return BatchContext(0, "train", 60, 10, *three, (0, 1, 0))._replace(**changes)


def pillow(image: Tensor, size: int) -> Tensor:
    """Shrink and enlarge one image as torchvision's Resize does with Pillow."""
    side, grey = image.shape[1], len(image) == 1
    picture = Image.fromarray(
        image[0].numpy() if grey else image.permute(1, 2, 0).contiguous().numpy()
    )
    for new in (size, side):
        picture = picture.resize((new, new), Image.Resampling.BILINEAR)
    pixels = torch.from_numpy(np.array(picture))
    return pixels[None] if grey else pixels.permute(2, 0, 1)


@pytest.mark.parametrize("size", [1, 4, 5, 8, 11, 15])
@pytest.mark.parametrize("source", ["photographs", "digits"])
def test_blur_is_pillows_resize_down_and_up(source: str, size: int) -> None:
    images = photographs() if source == "photographs" else Digits().read("test").tensor()[:100]
    expected = torch.stack([pillow(image, size) for image in images])
    difference = (blur(images, size).int() - expected.int()).abs()
    assert difference.max() <= 1
    assert (difference > 0).float().mean() < 0.03
    assert (blur(images, size) != images).float().mean() > 0.3


def test_blur_is_antialiased() -> None:
    """Without, only 2 x 2 of each 4 x 4 pixels would count: another deficit."""
    images = photographs()
    aliased = F.interpolate(
        F.interpolate(images.float(), (8, 8), mode="bilinear"), (32, 32), mode="bilinear"
    )
    assert (blur(images, 8).float() - aliased).abs().mean() > 3


def test_blur_is_exact_arithmetic() -> None:
    """Every sum fits float32's 24 bits, so that no order of summation changes a pixel."""
    images = photographs()
    pixels = images.double()
    for new, old in ((8, 32), (32, 8)):
        matrix = resize_matrix(old, new, CPU).double()
        pixels = (pixels @ matrix.T + 0.5).floor()
        pixels = (matrix @ pixels + 0.5).floor()
    assert torch.equal(blur(images, 8).double(), pixels)
    assert torch.equal(blur(images, 8)[7:8], blur(images[7:8], 8))


def test_blur_keeps_what_has_no_detail() -> None:
    assert torch.equal(blur(photographs(), 32), photographs())
    constant = torch.arange(256, dtype=torch.uint8)[:, None, None, None].expand(-1, 3, 32, 32)
    for size in (1, 3, 8, 31):
        assert torch.equal(blur(constant, size), constant)


def test_a_vertical_flip_turns_rows() -> None:
    flipped = VerticalFlip(ALWAYS)(batch(), context())
    assert np.array_equal(flipped.inputs.numpy(), batch().inputs.numpy()[:, :, ::-1])
    assert torch.equal(flipped.targets, batch().targets)


def test_a_label_permutation_renames_classes_and_nothing_else() -> None:
    renamed = LabelPermutation(ALWAYS)(batch(), context())
    assert torch.equal(renamed.inputs, batch().inputs)
    assert sorted(
        set(zip(batch().targets.tolist(), renamed.targets.tolist(), strict=True))
    ) == list(enumerate([2, 8, 7, 1, 9, 4, 3, 0, 5, 6])), "one name a class, all different; pinned"
    assert torch.equal(
        LabelPermutation(ALWAYS)(batch(), context(stream_key=(9, 9, 1))).targets, renamed.targets
    ), "at all times"
    assert not torch.equal(
        LabelPermutation(ALWAYS)(batch(), context(seed=1)).targets, renamed.targets
    )


@pytest.mark.parametrize("seed", range(20))
def test_a_permutation_is_never_nothing(seed: int) -> None:
    assert class_permutation(2, seed, CPU).tolist() == [1, 0]
    assert (
        sorted(class_permutation(3, seed, CPU).tolist())
        == [0, 1, 2]
        != class_permutation(3, seed, CPU).tolist()
    )


def test_label_noise_is_fixed_by_the_example() -> None:
    noise = LabelNoise(0.4, ALWAYS)
    targets = noise(batch(), context()).targets
    shuffled = torch.randperm(60, generator=torch.Generator().manual_seed(0))
    mixed = Batch(*(part[shuffled] for part in batch()))
    assert torch.equal(noise(mixed, context(stream_key=(5, 2, 1))).targets, targets[shuffled])
    assert not torch.equal(noise(batch(), context(split="validation")).targets, targets)
    assert not torch.equal(noise(batch(), context(seed=1)).targets, targets)


def test_label_noise_is_wrong_as_often_as_it_says() -> None:
    shifts = {
        fraction: label_shifts(fraction, 20000, 10, 0, "train", CPU)
        for fraction in (0.0, 0.2, 0.4, 1.0)
    }
    for fraction, shift in shifts.items():
        assert abs(float((shift > 0).float().mean()) - fraction) < 0.02
    wrong = shifts[0.2] > 0
    assert torch.equal(shifts[0.4][wrong], shifts[0.2][wrong]), "more noise keeps what was wrong"
    counts = torch.bincount(shifts[1.0], minlength=10)
    assert counts[0] == 0, "a wrong label is never the right one"
    assert counts[1:].min() > 20000 / 9 * 0.9


def test_white_noise_is_standard_normal_once_normalised_and_drawn_anew() -> None:
    noise, first = WhiteNoise(ALWAYS), context()
    images = noise(batch(), first).inputs
    normalised = (images - first.mean[:, None, None]) / first.std[:, None, None]
    assert normalised.mean((0, 2, 3)).abs().max() < 0.02
    assert (normalised.std((0, 2, 3)) - 1).abs().max() < 0.02
    assert torch.equal(noise(batch(), first).inputs, images)
    for different in (
        context(stream_key=(0, 2, 0)),
        context(stream_key=(0, 1, 1)),
        context(split="validation"),
        context(seed=1),
    ):
        assert not torch.equal(noise(batch(), different).inputs, images)
    assert torch.equal(noise(batch(), first).targets, batch().targets)


def see(
    *deficits: Deficit,
    augmentation: Any = None,
    now: Position = MOMENTS[0],
) -> Batch:
    transforms = BatchTransforms(deficits, augmentation)
    doing = RunSchedule(transforms.parts, 10).doing(None, now)
    return transforms.apply(batch(), context(), doing)


def test_deficits_act_in_the_order_written() -> None:
    halved, inverted = Dim(ALWAYS), Dim(ALWAYS, invert=True)
    assert torch.equal(see(halved, inverted).inputs, 255 - batch().inputs // 2)
    assert torch.equal(see(inverted, halved).inputs, (255 - batch().inputs) // 2)


def test_augmentation_comes_after_deficits() -> None:
    from plasticity_lab.randomness import generator

    expected = Darken()(blur(batch().inputs, 8), context().mean, generator(0, "augment", 0, 1, 0))
    assert torch.equal(see(Blur(8, ALWAYS), augmentation=Darken()).inputs, expected)


def test_a_deficit_in_float_is_augmented_in_float() -> None:
    faded = Fade(ALWAYS)
    (crop,) = see(faded, augmentation=CropFlip(padding=0, flip=False)).inputs[:1]
    assert torch.equal(crop, batch().inputs[0] * 0.3 - 5)
    assert see(faded, augmentation=CropFlip()).inputs.min() < 0


def test_white_noise_switches_augmentation_off_while_it_acts() -> None:
    noise = WhiteNoise((Time("2ep"), Time("4ep")))
    for epoch, off in ((1, False), (2, True), (3, True), (4, False)):
        now = Position(epoch, 0)
        transforms = BatchTransforms([noise], Darken())
        doing = RunSchedule(transforms.parts, 10).doing(None, now)
        assert transforms.augmented(doing) == (0 if off else 1)
    assert torch.equal(
        see(noise, augmentation=Darken(), now=Position(2, 0)).inputs,
        see(noise, now=Position(2, 0)).inputs,
    ), "pure noise"


def test_augmentation_has_a_window() -> None:
    darken = Darken(during=(Time("20%"), Time("9st")))
    augmented = [
        not torch.equal(see(augmentation=darken, now=now).inputs, batch().inputs) for now in MOMENTS
    ]
    assert augmented == [False, False, True, True, False, False]


def test_a_deficit_acts_in_its_window_only() -> None:
    deficit = VerticalFlip((Time("8st"), Time("stage1")))
    flipped = [not torch.equal(see(deficit, now=now).inputs, batch().inputs) for now in MOMENTS]
    assert flipped == [False, False, False, True, True, True]
    assert torch.equal(see(deficit, now=Position(3, 12, 1)).inputs, batch().inputs)
    assert torch.equal(see(VerticalFlip(NEVER)).inputs, batch().inputs)


def test_a_data_set_is_never_changed() -> None:
    """Also where a deficit of somebody's own works in place."""
    acting = [
        {"class_path": f"datamodules.{name}", "init_args": {**arguments, "during": ["0ep", "100%"]}}
        for name, arguments in (
            ("Blur", {"size": 4}),
            ("VerticalFlip", {}),
            ("LabelNoise", {"fraction": 0.5}),
        )
    ]
    acting.insert(
        0, {"class_path": "tests.probes.InPlace", "init_args": {"during": ["0ep", "100%"]}}
    )
    growth = {
        "class_path": "datamodules.UniformGrowth",
        "init_args": {"fractions": [0.5, 1.0], "at": ["1ep"]},
    }
    finished = fit(*tiny({"data": {"init_args": {"deficits": acting, "growth": growth}}}))
    fresh = Digits(subset=100).splits(0).train
    assert state_hash(finished.data.splits.train.tensor()) == state_hash(fresh.tensor())
    assert state_hash(finished.data.loaders["train"].inputs) == state_hash(fresh.tensor())
    assert state_hash(finished.data.loaders["train"].targets) == state_hash(fresh.targets)


def test_your_own_deficit_stands_beside_ours() -> None:
    from tests.runs import state

    deficit_node = {"class_path": "tests.probes.Dim", "init_args": {"during": ["1ep", "2ep"]}}
    finished = fit(*tiny({"data": {"init_args": {"deficits": [deficit_node]}}}))
    assert state(finished)["weights and buffers"] != state(fit(*tiny()))["weights and buffers"]
    entry = finished.data.history.entries[1]
    assert entry.answers == (("deficits/Dim(invert=False)", True),)


@pytest.mark.parametrize("fraction", [-0.1, 1.1])
def test_noise_beyond_all_labels_is_refused(fraction: float) -> None:
    with pytest.raises(
        UserError, match=rf"fraction: {fraction}: set the share of wrong labels, in \[0, 1\]"
    ):
        LabelNoise(fraction, ALWAYS)
