"""Networks with attention or recurrence: measured, or refused in one line before training."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from plasticity_lab.measurements.functional import detached_parameters, flatten, mean_loss
from plasticity_lab.measurements.hvp import hessian_vector_product
from plasticity_lab.measurements.preserve_state import preserve_state
from tests.registry import DIAGNOSTICS
from tests.runs import fit, tiny
from tests.test_bad_input import refused


class Attention(nn.Module):
    """Patches that look at one another."""

    def __init__(self, in_channels: int, num_classes: int) -> None:
        super().__init__()
        self.patch = nn.Conv2d(in_channels, 8, 4, 4)
        self.qkv = nn.Linear(8, 24)
        self.head = nn.Linear(8, num_classes)
        self.blocks = ("patch", "qkv", "head")

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(self.patch(x).flatten(2).transpose(1, 2)).unsqueeze(1).chunk(3, -1)
        logits: Tensor = self.head(F.scaled_dot_product_attention(q, k, v)[:, 0].mean(1))
        return logits


class Recurrent(nn.Module):
    """Reads the rows of an image; its block answers with a tuple."""

    def __init__(self, in_channels: int, num_classes: int, image_size: int) -> None:
        super().__init__()
        self.rnn = nn.LSTM(in_channels * image_size, 8, batch_first=True)
        self.head = nn.Linear(8, num_classes)
        self.blocks = ("rnn", "head")

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.rnn(x.transpose(1, 2).flatten(2))[0][:, -1])
        return logits


def _run(name: str, network: str) -> list[str]:
    class_path = {"class_path": f"{__name__}.{network}"}
    return tiny({"model": {"init_args": {"network": class_path}}}, DIAGNOSTICS[name])


def test_products_with_the_hessian_of_attention() -> None:
    network, images, labels = (
        Attention(1, 3).double(),
        torch.randn(4, 1, 8, 8, dtype=torch.double),
        torch.tensor([0, 1, 2, 0]),
    )
    parameters = detached_parameters(network)
    vector = torch.randn_like(flatten(parameters))
    with preserve_state(network):
        product = hessian_vector_product(mean_loss(network, images, labels), parameters)(vector)

    def slope(shift: float) -> Tensor:
        moved, start = {}, 0
        for name, value in parameters.items():
            along = vector[start : start + value.numel()].view_as(value)
            moved[name] = (value + shift * along).detach().requires_grad_()
            start += value.numel()
        loss = mean_loss(network, images, labels)(moved)
        return torch.cat(
            [part.reshape(-1) for part in torch.autograd.grad(loss, list(moved.values()))]
        )

    difference = (slope(1e-5) - slope(-1e-5)) / 2e-5
    torch.testing.assert_close(product, difference, rtol=1e-6, atol=1e-8)


def test_curvature_of_attention_is_measured() -> None:
    finished = fit(*_run("HessianEigenvalues", "Attention"), "--trainer.max_epochs", "1")
    assert finished.trainer.global_step == 4


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "CKA",
            (
                "CKA: block rnn: answers a tuple, not one tensor; list in `blocks` of the "
                "network parts that do"
            ),
        ),
        ("HessianEigenvalues", "HessianEigenvalues: network: has no second derivative"),
        ("HessianSpectrum", "HessianSpectrum: network: has no second derivative"),
    ],
)
def test_what_recurrence_does_not_allow(
    name: str, message: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if name != "CKA":

        def fails(*args: Any) -> Any:
            raise RuntimeError("derivative for aten::_cudnn_rnn_backward is not implemented")

        monkeypatch.setattr("plasticity_lab.measurements.hvp.hessian_vector_product", fails)
    refused(["fit", *_run(name, "Recurrent")], message, capsys)
