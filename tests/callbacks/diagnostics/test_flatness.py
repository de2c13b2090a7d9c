"""How the loss rises around the weights."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from callbacks.diagnostics.flatness import Flatness
from plasticity_lab.errors import UserError
from plasticity_lab.measurements.functional import flatten
from plasticity_lab.measurements.sharpness import (
    filter_normalised,
    gaussian_direction,
    loss_near,
    sam_sharpness,
)
from plasticity_lab.timing import Time
from tests.callbacks.diagnostics.measured import check_invisible, end, run

STREAM = torch.Generator().manual_seed(0)
ROOT = torch.randn(7, 7, dtype=torch.float64, generator=STREAM)
CURVATURE = ROOT @ ROOT.T
WEIGHTS = {
    "matrix": torch.randn(2, 2, dtype=torch.float64, generator=STREAM),
    "bias": torch.randn(3, dtype=torch.float64, generator=STREAM),
}


def quadratic(parameters: dict[str, Tensor]) -> Tensor:
    vector = flatten(parameters)
    return 0.5 * vector @ CURVATURE @ vector


def leaves() -> dict[str, Tensor]:
    return {name: weight.clone().requires_grad_() for name, weight in WEIGHTS.items()}


def test_noise_changes_a_quadratic_loss_as_in_closed_form() -> None:
    noise = gaussian_direction(WEIGHTS, 0, 0)
    w, xi = flatten(WEIGHTS), flatten(noise)
    for sigma in (0.01, 1):
        expected = sigma * w @ CURVATURE @ xi + sigma**2 / 2 * xi @ CURVATURE @ xi
        change = loss_near(quadratic, WEIGHTS, noise, sigma) - float(quadratic(WEIGHTS))
        assert change == pytest.approx(float(expected), rel=1e-10)


def test_the_ascent_step_on_a_quadratic_loss_is_as_in_closed_form() -> None:
    gradient = CURVATURE @ flatten(WEIGHTS)
    length = gradient.norm()
    for rho in (0.05, 2):
        expected = rho * length + rho**2 / 2 * gradient @ CURVATURE @ gradient / length**2
        assert sam_sharpness(quadratic, leaves(), rho) == pytest.approx(float(expected), rel=1e-10)


def test_at_a_minimum_there_is_no_ascent_step() -> None:
    zeros = {name: torch.zeros_like(weight).requires_grad_() for name, weight in WEIGHTS.items()}
    assert sam_sharpness(quadratic, zeros, 0.05) == 0


def test_draws_are_keyed_by_seed_number_and_name() -> None:
    parameters = {"one": torch.zeros(3000), "two": torch.zeros(3000)}
    first = gaussian_direction(parameters, 0, 0)
    assert torch.equal(first["one"], gaussian_direction({"one": torch.ones(3000)}, 0, 0)["one"])
    other_draws = [
        first["two"],
        gaussian_direction(parameters, 0, 1)["one"],
        gaussian_direction(parameters, 1, 0)["one"],
    ]
    assert not any(torch.equal(first["one"], draw) for draw in other_draws)
    assert abs(float(first["one"].std()) - 1) < 0.05
    assert abs(float(first["one"].mean())) < 0.06


def test_relative_noise_has_each_filters_norm_and_leaves_biases() -> None:
    parameters = {
        "kernel": torch.randn(4, 3, 2, 2),
        "matrix": torch.randn(5, 6),
        "bias": torch.randn(4),
    }
    noise = gaussian_direction(parameters, 0, 0)
    relative = filter_normalised(noise, parameters)
    for name in ("kernel", "matrix"):
        for scaled, raw, parameter in zip(
            relative[name], noise[name], parameters[name], strict=True
        ):
            torch.testing.assert_close(scaled, raw * parameter.norm() / raw.norm())
    assert not relative["bias"].any()


def test_a_run_logs_how_its_loss_rises() -> None:
    cli, values = run("flatness.Flatness", noise=[0.05, 0.2], draws=3, rho=0.1)
    network, (images, labels, _) = end(cli)
    parameters = {
        name: parameter.detach().clone() for name, parameter in network.named_parameters()
    }

    def loss(moved: dict[str, Tensor]) -> Tensor:
        logits = torch.func.functional_call(network, moved, (images,))
        return F.cross_entropy(logits, labels).detach()

    def mean_change(level: float, relative: bool) -> float:
        changes = []
        for draw in range(3):
            noise = gaussian_direction(parameters, 0, draw)
            noise = filter_normalised(noise, parameters) if relative else noise
            changes.append(
                float(
                    loss(
                        {
                            name: parameter + level * noise[name]
                            for name, parameter in parameters.items()
                        }
                    )
                    - loss(parameters)
                )
            )
        return sum(changes) / 3

    gradients = torch.autograd.grad(
        F.cross_entropy(network(images), labels), list(network.parameters())
    )
    length = torch.cat([gradient.flatten() for gradient in gradients]).norm()
    ascent = {
        name: parameters[name] + 0.1 * gradient / length
        for name, gradient in zip(parameters, gradients, strict=True)
    }
    expected = {f"loss_change/{level}": mean_change(level, False) for level in (0.05, 0.2)}
    expected |= {f"relative_loss_change/{level}": mean_change(level, True) for level in (0.05, 0.2)}
    expected["sam_sharpness"] = float(loss(ascent) - loss(parameters))
    last_values = {tag: value[-1][1] for tag, value in values.items()}
    assert last_values == pytest.approx(expected, rel=1e-3, abs=1e-6), (
        "differences of single-precision losses"
    )
    assert expected["loss_change/0.2"] > expected["loss_change/0.05"]
    assert expected["sam_sharpness"] > 0
    check_invisible(cli, Flatness(Time("1ep"), draws=1))


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ({"noise": (0.1, 0.0)}, r"noise: \[0.1, 0.0\]: set different numbers above 0"),
        ({"noise": (0.1, 0.1)}, "noise: .*different"),
        ({"draws": 0}, "draws: 0: set 1 or more"),
        ({"rho": -1.0}, "rho: -1.0: set a number above 0"),
    ],
)
def test_values_outside_their_ranges_are_refused(arguments: dict[str, float], line: str) -> None:
    with pytest.raises(UserError, match=line):
        Flatness(Time("1ep"), **arguments)  # type: ignore[arg-type]
