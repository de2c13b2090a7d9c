"""The patch by which a class can be memorised."""

from typing import Any

import pytest
import torch

from datamodules import Batch, BatchContext, Digits
from datamodules.transforms.class_patch import ClassPatch, class_patterns, patched_examples
from plasticity_lab.errors import UserError
from plasticity_lab.timing import Time

ALWAYS = (Time("0ep"), Time("100%"))
IMAGES = torch.randint(256, (200, 3, 8, 8), generator=torch.Generator().manual_seed(0))
BATCH = Batch(IMAGES.to(torch.uint8), torch.arange(200) % 10, torch.arange(200))
MEAN, STD = torch.tensor([100.0, 120.0, 90.0]), torch.tensor([50.0, 60.0, 40.0])


def seen(patch: ClassPatch, *key: int) -> torch.Tensor:
    """Return the patched batch, normalised."""
    context = BatchContext(3, "train", 200, 10, MEAN, STD, key)
    images: torch.Tensor = patch(BATCH, context).inputs
    return normalised(images)


def normalised(images: torch.Tensor) -> torch.Tensor:
    return (images.float() - MEAN[:, None, None]) / STD[:, None, None]


def test_patched_images_differ_by_the_common_pattern_and_their_classes_with_a_sign() -> None:
    difference = seen(ClassPatch(4, ALWAYS, alone=0), 0, 0) - normalised(BATCH.inputs)
    common, own = class_patterns(10, 3, 4, 3, torch.device("cpu"))
    patched = patched_examples(0.8, 200, 3, "train", torch.device("cpu"))
    assert 140 < int(patched.sum()) < 180
    assert not difference[~patched].any()
    inside = difference[:, :, 2:6, 2:6]
    outside = difference.clone()
    outside[:, :, 2:6, 2:6] = 0
    assert outside.abs().max() < 1e-5
    for row, label in zip(inside[patched], BATCH.targets[patched], strict=True):
        ends = [common + own[label], common - own[label]]
        assert any(torch.allclose(row, end, atol=1e-4) for end in ends)
    signs = ((inside[patched] - common) * own[BATCH.targets[patched]]).sum((1, 2, 3)).sign()
    assert 0.35 < float((signs > 0).float().mean()) < 0.65
    assert own.abs().max() <= 0.1


def test_alone_it_stands_on_the_mean_colour_and_varies_in_strength() -> None:
    images = seen(ClassPatch(4, ALWAYS, patched=1, alone=1), 0, 0)
    common, own = class_patterns(10, 3, 4, 3, torch.device("cpu"))
    outside = images.clone()
    outside[:, :, 2:6, 2:6] = 0
    assert outside.abs().max() < 1e-5
    rest, pattern = images[:, :, 2:6, 2:6] - common, own[BATCH.targets]
    strengths = (rest * pattern).sum((1, 2, 3)) / pattern.square().sum((1, 2, 3))
    assert torch.allclose(rest, strengths[:, None, None, None] * pattern, atol=1e-4)
    assert strengths.abs().max() <= 1.75
    assert strengths.abs().std() > 0.3


def test_a_fifth_of_the_patched_are_alone_and_others_each_time() -> None:
    patch = ClassPatch(4, ALWAYS)

    def alone(*key: int) -> torch.Tensor:
        corner = seen(patch, *key)[:, :, 0, 0]
        return corner.abs().amax(1) < 1e-5

    first, again, later = alone(0, 0), alone(0, 0), alone(1, 0)
    assert torch.equal(first, again)
    assert not torch.equal(first, later)
    assert 15 < int(first.sum()) < 50
    patched = patched_examples(0.8, 200, 3, "train", torch.device("cpu"))
    assert not first[~patched].any()


@pytest.mark.parametrize("size", [0, 17])
def test_the_patch_fits_the_images(size: int) -> None:
    message = f"size: {size}: the images have 16 pixels; set 1 to 16"
    with pytest.raises(UserError, match=message):
        ClassPatch(size, ALWAYS).check(Digits().read("train"))


@pytest.mark.parametrize("arguments", [{"patched": 1.5}, {"alone": -0.1}])
def test_shares_are_in_range(arguments: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="set a share"):
        ClassPatch(4, ALWAYS, **arguments)
