"""Spectral and Parseval regularisation in runs."""

from typing import Any

import pytest
import torch
from pytorch_lightning import Callback
from torch import Tensor, nn
from torch.nn import functional as F

from callbacks import ParsevalRegularisation, SpectralRegularisation
from plasticity_lab.errors import UserError
from tests.callbacks.interventions.arms import intervention, run
from tests.callbacks.interventions.steps import first_step, step, task_alone

SLOW: dict[str, Any] = {"optimizer": {"init_args": {"lr": 0.01, "weight_decay": 0.0}}}


def kernels(finished: Any) -> Tensor:
    weight: Tensor = finished.model.network.conv.weight
    return weight.detach().flatten(1)


def largest(weight: Tensor) -> float:
    return float(torch.linalg.matrix_norm(weight, 2))


@pytest.mark.parametrize("iterations", [1, None])
def test_a_strong_pull_holds_the_largest_singular_values_at_1(iterations: int | None) -> None:
    pull = intervention("SpectralRegularisation", levels={"0ep": 1.0}, iterations=iterations)
    network = run(pull, model=SLOW).model.network
    for weight in (network.conv.weight, network.head.weight):
        assert largest(weight.detach().flatten(1)) == pytest.approx(1, abs=0.1)


class Vectors(Callback):
    """Records weights and singular vectors before each step."""

    def __init__(self) -> None:
        self.weights: list[Tensor] = []
        self.left: list[Tensor] = []

    def on_train_batch_start(self, trainer: Any, pl_module: Any, *args: Any) -> None:
        (pull,) = [one for one in trainer.callbacks if isinstance(one, SpectralRegularisation)]
        self.weights.append(pl_module.network.head.weight.detach().clone())
        self.left.append(pull.state_dict()["left"].get("head.weight"))


def test_an_iteration_begins_from_the_vector_of_the_step_before() -> None:
    pull = intervention("SpectralRegularisation", levels={"0ep": 0.01})
    finished = run(pull, {"class_path": f"{__name__}.Vectors"})
    (record,) = [one for one in finished.trainer.callbacks if isinstance(one, Vectors)]
    for now in range(1, 11):
        weight, left = record.weights[now], record.left[now]
        expected = F.normalize(weight @ weight.T @ left, dim=0)
        torch.testing.assert_close(record.left[now + 1], expected)


def test_rows_become_orthogonal_but_those_of_the_head() -> None:
    def distance(weight: Tensor) -> float:
        return float((weight @ weight.T - torch.eye(len(weight))).norm())

    strong = intervention("ParsevalRegularisation", levels={"0ep": 1.0}, scale=1.0)
    pulled, free = run(strong, model=SLOW), run(model=SLOW)
    assert distance(kernels(pulled)) < 0.4 < distance(kernels(free)) / 2
    both = intervention(
        "ParsevalRegularisation", levels={"0ep": 1.0}, head=True, norm_gains=True, scale=2.0
    )
    network = run(both, model=SLOW).model.network
    assert network.norm.weight.square().detach() == pytest.approx(torch.full((4,), 2.0), abs=0.3)
    assert not torch.equal(network.head.weight, pulled.model.network.head.weight)


@pytest.mark.parametrize(("head", "pulled"), [(False, ["conv"]), (True, ["conv", "head"])])
def test_head_says_whether_the_last_layer_is_pulled_too(head: bool, pulled: list[str]) -> None:
    pull = intervention("ParsevalRegularisation", levels={"0ep": 0.01}, scale=1.0, head=head)
    network, batches, after = first_step(pull)

    def loss(network: nn.Module, batch: Any) -> Tensor:
        rows = [network.get_parameter(f"{name}.weight").flatten(1) for name in pulled]
        distances = [(row @ row.T - torch.eye(len(row))).pow(2).sum() for row in rows]
        return task_alone(network, batch) + 0.01 * sum(distances)

    expected = step(network, batches, loss)
    assert not torch.allclose(expected, step(network, batches, task_alone), atol=1e-3)
    torch.testing.assert_close(after, expected, atol=1e-6, rtol=1e-5)


BAD: dict[str, Any] = {
    "power: 0: set 1 or more": (SpectralRegularisation, {"power": 0}),
    "iterations: 0: set 1 or more, or null": (SpectralRegularisation, {"iterations": 0}),
    "scale: 0: set a number above 0": (ParsevalRegularisation, {"scale": 0}),
}


@pytest.mark.parametrize("message", BAD)
def test_values_out_of_range(message: str) -> None:
    kind, arguments = BAD[message]
    with pytest.raises(UserError, match=message):
        kind({"0ep": 1.0}, **arguments)
