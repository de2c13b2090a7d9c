"""What is wrong with one half of the images."""

from typing import Any

import pytest
import torch

from datamodules import (
    Batch,
    BatchContext,
    Blur,
    ClassPatch,
    CropFlip,
    Dissociation,
    LabelNoise,
    SensorDeficit,
    WhiteNoise,
)
from datamodules.transforms.batch_transforms import BatchTransforms
from datamodules.transforms.blur import blur
from plasticity_lab.errors import UserError
from plasticity_lab.randomness import generator
from plasticity_lab.timing import Time

ALWAYS = (Time("0ep"), Time("100%"))
MEAN = torch.tensor([120.0])


def batch(count: int = 40) -> Batch:
    draws = generator(0, "x")
    images = torch.randint(0, 256, (count, 1, 8, 9), dtype=torch.uint8, generator=draws)
    return Batch(images, torch.arange(count), torch.arange(count))


def context(*key: int, **changes: Any) -> BatchContext:
    place = BatchContext(0, "train", 40, 40, MEAN, torch.tensor([60.0]), key or (0, 1, 0))
    return place._replace(**changes)


@pytest.mark.parametrize(("sensor", "columns"), [("left", slice(0, 4)), ("right", slice(4, 9))])
def test_one_half_is_that_of_the_impaired_image(sensor: Any, columns: slice) -> None:
    images = batch().inputs
    result = SensorDeficit(Blur, {"size": 2}, sensor, ALWAYS)(batch(), context()).inputs
    expected = images.clone()
    expected[..., columns] = blur(images, 2)[..., columns]
    assert torch.equal(result, expected)
    assert not torch.equal(result, images)


def test_noise_and_levels_reach_the_deficit() -> None:
    levels: Any = {"0ep": 0.5, "3ep": 0.0}
    noise = WhiteNoise(levels=levels)(batch(), context(level=0.5)).inputs
    deficit = SensorDeficit(WhiteNoise, levels=levels)
    result = deficit(batch(), context(level=0.5)).inputs
    assert torch.equal(result[..., :4], batch().inputs[..., :4].float())
    assert torch.equal(result[..., 4:], noise[..., 4:])
    assert deficit.at_all_times == 0.5


def test_it_acts_after_augmentation() -> None:
    """Of a mirrored image the same side is blurred, and augmentation draws as without it."""
    deficit = SensorDeficit(Blur, {"size": 2}, "right", ALWAYS)
    augmentation = CropFlip(padding=1)
    doing = [(deficit, True), (augmentation, 1.0)]
    result = BatchTransforms([deficit], augmentation).apply(batch(), context(), doing).inputs
    augmented = BatchTransforms([], augmentation).apply(batch(), context(), doing[1:]).inputs
    assert torch.equal(result[..., :4], augmented[..., :4])
    assert torch.equal(result[..., 4:], blur(augmented, 2)[..., 4:])


def test_dissociated_halves_come_from_two_examples_and_targets_from_either() -> None:
    before, after = batch(4000), Dissociation(ALWAYS)(batch(4000), context())
    assert torch.equal(after.inputs[..., :4], before.inputs[..., :4])

    # Each right half is somebody's, and every one is there once: pixels identify examples.
    keys = {tuple(image.flatten().tolist()): n for n, image in enumerate(before.inputs[..., 4:])}
    others = torch.tensor(
        [keys[tuple(image.flatten().tolist())] for image in after.inputs[..., 4:]]
    )
    assert torch.equal(others.sort().values, before.indices)
    of_right = after.targets == others
    assert torch.equal(after.targets[~of_right], before.targets[~of_right])
    assert 0.46 < of_right.float().mean() < 0.54
    assert (others != before.indices).float().mean() > 0.99
    assert torch.equal(after.indices, before.indices)


def test_dissociation_is_drawn_by_seed_and_batch() -> None:
    first, same = (Dissociation(ALWAYS)(batch(), context()) for _ in range(2))
    assert torch.equal(first.inputs, same.inputs)
    assert torch.equal(first.targets, same.targets)
    for changed in (context(0, 2, 0), context(seed=1)):
        assert not torch.equal(first.inputs, Dissociation(ALWAYS)(batch(), changed).inputs)


@pytest.mark.parametrize(
    ("deficit", "options", "message"),
    [
        (Dissociation, {}, "deficit: Dissociation: is not a deficit of whole images"),
        (LabelNoise, {"fraction": 0.5}, "deficit: LabelNoise: is not a deficit of whole images"),
        (Blur, {"sizes": 4}, "Blur: options: {'sizes': 4}: .*unexpected keyword"),
        (Blur, {}, "set either size and during"),
        (Blur, {"size": "x"}, r"Blur: size: x: is no int \| None; set one"),
        (Blur, {"size": 4.5}, r"Blur: size: 4.5: is no int \| None; set one"),
        (ClassPatch, {"size": None}, "ClassPatch: size: null: is no int; set one"),
        (
            Blur,
            {"size": 4, "during": ["1ep", "2ep"]},
            r"Blur: options: during: .*: is set outside of options; remove it from them",
        ),
        (Blur, {"levels": {"0ep": 4}}, "Blur: options: levels: .*: is set outside of options"),
    ],
)
def test_what_has_no_half_is_refused(deficit: Any, options: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        SensorDeficit(deficit, options, during=ALWAYS)


def test_levels_are_of_the_deficits_type() -> None:
    with pytest.raises(UserError, match=r"Blur: levels: .*4\.5.*: is no dict\[str, int \| None\]"):
        SensorDeficit(Blur, levels={"0ep": 4.5})
