"""Whitened images."""

import pytest
import torch

from datamodules import Digits, ImageDataModule, WhitenedImages
from plasticity_lab.errors import UserError
from plasticity_lab.measurements import zca_matrix
from tests.runs import fit, logged, tiny


def whitened(regularisation: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Return training images as the network gets them, whitened and not."""
    views = []
    for dataset in (WhitenedImages(Digits(subset=400), regularisation), Digits(subset=400)):
        data = ImageDataModule(dataset, 100)
        images = data.splits.train.tensor()
        views.append(data.normalise(images).flatten(1).double())
    return views[0], views[1]


def test_the_covariance_is_that_of_the_formula() -> None:
    found, plain = whitened(0.1)
    values, vectors = torch.linalg.eigh(torch.cov(plain.T, correction=0))
    shrunk = values / (values + 0.1 * values.mean())
    expected = (vectors * shrunk) @ vectors.T
    assert torch.allclose(torch.cov(found.T, correction=0), expected, atol=1e-4)
    assert found.mean(0).abs().max() < 1e-4


def test_with_little_regularisation_it_is_white_and_with_much_only_scaled() -> None:
    matrix = torch.tensor([[2.0, 0.5], [0.5, 1.0]])
    white = zca_matrix(matrix, 0.0)
    assert torch.allclose(white @ matrix.double() @ white, torch.eye(2, dtype=torch.float64))
    assert torch.allclose(white, white.T)
    scaled = zca_matrix(matrix, 1e6) * (1e6 * 1.5) ** 0.5
    assert torch.allclose(scaled, torch.eye(2, dtype=torch.float64), atol=1e-5)


def test_a_run_trains_on_it_with_deficits_and_resident_or_streamed() -> None:
    node = {
        "class_path": "datamodules.WhitenedImages",
        "init_args": {
            "dataset": {"class_path": "datamodules.Digits", "init_args": {"subset": 100}}
        },
    }
    blur = {"class_path": "datamodules.Blur", "init_args": {"size": 4, "during": ["0ep", "1ep"]}}
    data = {"dataset": node, "deficits+": [blur]}
    resident = fit(*tiny({"data": {"init_args": data}}))
    streamed = fit(*tiny({"data": {"init_args": {**data, "resident": False, "workers": 0}}}))
    assert logged(resident.place.directory) == logged(streamed.place.directory)


def test_a_regularisation_is_above_zero() -> None:
    with pytest.raises(UserError, match="regularisation: 0"):
        WhitenedImages(Digits(), 0)
