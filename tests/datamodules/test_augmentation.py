"""Crop and flip against a reference that treats one image at a time."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from datamodules import CropFlip
from datamodules.transforms.crop_flip import crop_flip
from plasticity_lab.errors import UserError
from plasticity_lab.randomness import generator


@settings(max_examples=30)
@given(
    st.integers(1, 6),
    st.integers(1, 3),
    st.integers(1, 7),
    st.integers(1, 7),
    st.integers(0, 4),
    st.integers(0, 1000),
)
def test_it_equals_padding_slicing_and_mirroring_one_by_one(
    count: int, channels: int, height: int, width: int, padding: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (count, channels, height, width), dtype=np.uint8)
    rows, columns = rng.integers(0, 2 * padding + 1, (2, count))
    flips, fill = (
        rng.integers(0, 2, count).astype(bool),
        rng.integers(0, 256, channels, dtype=np.uint8),
    )
    places = torch.from_numpy(rows), torch.from_numpy(columns), torch.from_numpy(flips)
    result = crop_flip(torch.from_numpy(images), *places, padding, torch.from_numpy(fill)).numpy()
    for index in range(count):
        padded = np.stack(
            [
                np.pad(plane, padding, constant_values=int(colour))
                for plane, colour in zip(images[index], fill, strict=True)
            ]
        )
        expected = padded[
            :, rows[index] : rows[index] + height, columns[index] : columns[index] + width
        ]
        assert np.array_equal(result[index], expected[:, :, ::-1] if flips[index] else expected)


def test_every_example_has_a_draw_of_its_own() -> None:
    images = torch.arange(64, dtype=torch.uint8).view(1, 1, 8, 8).expand(500, 1, 8, 8)
    result = CropFlip(padding=4)(images, torch.zeros(1), generator(0, "test"))
    assert len({tuple(image.flatten().tolist()) for image in result}) > 120, "of 162 possible ones"


def test_draws_are_uniform_over_places_and_sides() -> None:
    images = torch.zeros(8000, 1, 9, 9, dtype=torch.uint8)
    images[:, :, 4, 3] = 255
    rows, columns = (
        CropFlip(padding=2)(images, torch.zeros(1), generator(0, "test"))[:, 0].nonzero().T[1:]
    )
    assert torch.bincount(rows, minlength=9)[2:7].min() > 1450, (
        "of 1,600 expected for each of five places"
    )
    assert torch.bincount(columns, minlength=9)[[1, 2, 6, 7]].min() > 700, (
        "of 800: column 3 or 5 (mirrored), moved by -2…2"
    )
    assert torch.bincount(columns, minlength=9)[3:6].min() > 1450, "of 1,600: reached from both"


def test_the_fill_is_the_mean_colour_or_a_grey_level() -> None:
    images = torch.full((200, 2, 4, 4), 7, dtype=torch.uint8)
    mean = torch.tensor([99.6, 12.2])
    assert set(CropFlip(padding=1)(images, mean, generator(0, "x"))[:, 0].flatten().tolist()) == {
        7,
        100,
    }
    assert set(CropFlip(padding=1)(images, mean, generator(0, "x"))[:, 1].flatten().tolist()) == {
        7,
        12,
    }
    assert set(CropFlip(padding=1, fill=3)(images, mean, generator(0, "x")).flatten().tolist()) == {
        3,
        7,
    }


def test_no_padding_and_no_flip_is_the_identity() -> None:
    images = torch.randint(0, 256, (9, 3, 5, 5), dtype=torch.uint8)
    assert torch.equal(
        CropFlip(padding=0, flip=False)(images, torch.zeros(3), generator(0, "x")), images
    )


def test_impossible_settings_are_refused() -> None:
    with pytest.raises(UserError, match="padding: -1: set 0"):
        CropFlip(padding=-1)
    with pytest.raises(UserError, match="fill: 256: set 'mean' or a grey level in 0…255"):
        CropFlip(fill=256)
