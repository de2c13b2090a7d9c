"""Rescaled parameters against numbers worked out by hand."""

import torch

from plasticity_lab.surgery import rescale


def test_gives_the_norm_of_the_initial_values_to_the_whole_tensor() -> None:
    weight = torch.tensor([[3.0, 4.0], [0.0, 0.0]])
    rescale({"weight": weight}, {"weight": torch.eye(2)})
    expected = torch.tensor([[0.8485281, 1.1313708], [0.0, 0.0]])
    torch.testing.assert_close(weight, expected, atol=1e-6, rtol=0)


def test_what_began_as_zeros_becomes_zeros_and_zeros_stay() -> None:
    parameters = {"bias": torch.tensor([0.3, -0.1]), "weight": torch.zeros(2)}
    rescale(parameters, {"bias": torch.zeros(2), "weight": torch.ones(2)})
    assert not parameters["bias"].any()
    assert not parameters["weight"].any()
