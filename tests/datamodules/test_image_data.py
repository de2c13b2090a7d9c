"""The data module: statistics, what a batch becomes, what it refuses."""

import numpy as np
import pytest
import torch

from datamodules import Digits, ImageDataModule
from datamodules.datasets.channel_statistics import channel_histogram, channel_statistics
from datamodules.datasets.split import TensorSplit
from plasticity_lab.errors import UserError
from tests.runs import fit, logged, state, tiny


def test_statistics_are_numpys_however_the_images_are_read() -> None:
    pixels = torch.randint(0, 256, (700, 3, 5, 5), dtype=torch.uint8)
    images = TensorSplit(pixels, torch.zeros(700, dtype=torch.long), ["a"])
    resident, streaming = (
        channel_histogram(images, resident=True),
        channel_histogram(images, resident=False, workers=2),
    )
    assert torch.equal(resident, streaming)
    mean, deviation = channel_statistics(resident)
    np.testing.assert_allclose(mean, pixels.numpy().mean((0, 2, 3)), rtol=1e-6)
    np.testing.assert_allclose(deviation, pixels.numpy().std((0, 2, 3)), rtol=1e-6)


def test_a_constant_channel_does_not_divide_by_zero() -> None:
    _, deviation = channel_statistics(torch.eye(256, dtype=torch.long)[[7]] * 50)
    assert deviation.tolist() == [1]


def test_batches_are_normalised_with_the_training_splits_statistics() -> None:
    data = ImageDataModule(Digits(), batch_size=2000)
    batch = data.on_after_batch_transfer(next(iter(data.train_dataloader())), 0)
    assert batch.inputs.dtype == torch.float32
    assert abs(float(batch.inputs.mean())) < 1e-5
    assert abs(float(batch.inputs.std(correction=0)) - 1) < 1e-5
    test = data.on_after_batch_transfer(next(iter(data.test_dataloader())), 0)
    assert 1e-4 < abs(float(test.inputs.mean())) < 0.1


def test_what_the_network_needs_to_know_comes_from_the_data() -> None:
    data = ImageDataModule(Digits(subset=20))
    assert (data.num_outputs, data.in_channels, data.image_size) == (10, 1, 16)
    assert set(data.fingerprint) == {"train", "validation", "test"}


def test_streaming_trains_bitwise_like_resident_data() -> None:
    augmentation = {"data": {"init_args": {"augmentation": {"class_path": "datamodules.CropFlip"}}}}
    streaming = {"data": {"init_args": {"resident": False, "workers": 2}}}
    assert state(fit(*tiny(augmentation, streaming))) == state(fit(*tiny(augmentation)))


def test_evaluation_is_never_augmented() -> None:
    """Not even in the middle of training, where the data module augments."""
    finished = fit(
        *tiny({"data": {"init_args": {"augmentation": {"class_path": "datamodules.CropFlip"}}}})
    )
    data, network, right = finished.data, finished.model.eval(), 0
    mean, deviation = data.normalisation.mean, data.normalisation.std
    for batch in data.test_dataloader():
        right += int((network((batch.inputs - mean) / deviation).argmax(1) == batch.targets).sum())
    assert logged(finished.place.directory)["val/accuracy"][-1][1] == pytest.approx(right / 500)


def test_your_own_augmentation_stands_beside_ours() -> None:
    fragment = {"data": {"init_args": {"augmentation": {"class_path": "tests.probes.Darken"}}}}
    assert (
        state(fit(*tiny(fragment)))["weights and buffers"]
        != state(fit(*tiny()))["weights and buffers"]
    )


def test_a_batch_of_none_is_refused() -> None:
    with pytest.raises(UserError, match="batch_size: 0: set 1 or more"):
        ImageDataModule(Digits(), batch_size=0)
