"""Fisher information against dense matrices."""

from collections.abc import Callable

import pytest
import torch

from plasticity_lab.measurements.fisher_trace import (
    Trace,
    exact_fisher_trace,
    fisher_trace,
    fisher_trace_per_example,
)
from plasticity_lab.measurements.functional import detached_parameters, flatten, mean_loss
from tests.measurements.toys import Toy, as_vector, convolutional, mlp


def by_hand(toy: Toy) -> float:
    """Return (1/N) sum_i sum_c p_ic |grad log p_ic|², one gradient after the other."""
    parameters, total = detached_parameters(toy.network), 0.0
    for image in toy.images:
        shares = toy.network(image[None]).softmax(1)[0].detach()
        for label, share in enumerate(shares):
            loss = mean_loss(toy.network, image[None], torch.tensor([label]))
            total += float(
                share
                * torch.func.grad(as_vector(loss, parameters))(flatten(parameters).detach())
                .pow(2)
                .sum()
            )
    return total / len(toy.images)


@pytest.mark.parametrize("toy", [mlp(), convolutional()])
def test_the_exact_trace_is_that_by_hand_and_of_the_hessian(toy: Toy) -> None:
    exact = exact_fisher_trace(toy.network, toy.images)
    assert exact.total == pytest.approx(by_hand(toy), rel=1e-12)
    assert exact.total == pytest.approx(float(toy.hessian().trace()), rel=1e-9), (
        "piecewise linear in every parameter"
    )
    assert list(exact.parts) == list(detached_parameters(toy.network))


@pytest.mark.parametrize("toy", [mlp(), convolutional()])
@pytest.mark.parametrize("estimate", [fisher_trace, fisher_trace_per_example])
def test_estimates_are_unbiased_and_know_their_error(
    toy: Toy, estimate: Callable[..., Trace]
) -> None:
    exact, generator = exact_fisher_trace(toy.network, toy.images), torch.Generator().manual_seed(0)
    draws = [estimate(toy.network, toy.images, generator, 6) for _ in range(400)]
    totals = torch.tensor([draw.total for draw in draws])
    error = float(totals.std() / len(totals) ** 0.5)
    assert abs(float(totals.mean()) - exact.total) < 4 * error
    assert error < 0.05 * exact.total
    for name, part in exact.parts.items():
        assert sum(draw.parts[name] for draw in draws) / len(draws) == pytest.approx(part, rel=0.2)


def test_the_error_is_that_of_the_mean() -> None:
    toy = convolutional()
    images = toy.images.repeat(50, 1, 1, 1)
    generator = torch.Generator().manual_seed(0)
    draws = [fisher_trace(toy.network, images, generator) for _ in range(60)]
    spread = float(torch.tensor([draw.total for draw in draws]).std())
    assert sum(draw.error for draw in draws) / len(draws) == pytest.approx(spread, rel=0.3)
    assert fisher_trace(toy.network, toy.images, generator, 12).error == float("inf")


def test_true_labels_would_give_another_number() -> None:
    toy = mlp()
    parameters = detached_parameters(toy.network)
    empirical = 0.0
    for image, label in zip(toy.images, toy.labels, strict=True):
        loss = mean_loss(toy.network, image[None], label[None])
        empirical += float(
            torch.func.grad(as_vector(loss, parameters))(flatten(parameters).detach()).pow(2).sum()
        ) / len(toy.images)
    assert abs(empirical - exact_fisher_trace(toy.network, toy.images).total) > 0.1 * empirical
