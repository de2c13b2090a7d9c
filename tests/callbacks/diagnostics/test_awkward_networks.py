"""Networks with attention or recurrence: measured, or refused in one line before training."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from callbacks.diagnostics.function import flat, mean_loss, parameters_of
from callbacks.diagnostics.invisible import invisible
from callbacks.diagnostics.products import hessian_product
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
    network, images, labels = Attention(1, 3).double(), torch.randn(4, 1, 8, 8, dtype=torch.double), torch.tensor([0, 1, 2, 0])
    parameters = parameters_of(network)
    vector = torch.randn_like(flat(parameters))
    with invisible(network):
        product = hessian_product(mean_loss(network, images, labels), parameters)(vector)

    def slope(shift: float) -> Tensor:
        moved, start = {}, 0
        for name, value in parameters.items():
            along = vector[start : start + value.numel()].view_as(value)
            moved[name] = (value + shift * along).detach().requires_grad_()
            start += value.numel()
        loss = mean_loss(network, images, labels)(moved)
        return torch.cat([part.reshape(-1) for part in torch.autograd.grad(loss, list(moved.values()))])

    difference = (slope(1e-5) - slope(-1e-5)) / 2e-5
    torch.testing.assert_close(product, difference, rtol=1e-6, atol=1e-8)


def test_curvature_of_attention_is_measured() -> None:
    finished = fit(*_run("Curvature", "Attention"), "--trainer.max_epochs", "1")
    assert finished.trainer.global_step == 4


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Similarity", "Similarity: block rnn: answers a tuple, not one tensor; list in `blocks` of the network parts that do"),
        ("Curvature", "Curvature: the network has no second derivative"),
        ("HessianSpectrum", "HessianSpectrum: the network has no second derivative"),
    ],
)
def test_what_recurrence_does_not_allow(
    name: str, message: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if name != "Similarity":

        def fails(*given: Any) -> Any:
            raise RuntimeError("derivative for aten::_cudnn_rnn_backward is not implemented")

        monkeypatch.setattr("callbacks.diagnostics.products.hessian_product", fails)
    refused(["fit", *_run(name, "Recurrent")], message, capsys)
