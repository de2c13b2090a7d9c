"""Signs of batch norm's biases."""

import pytest
import torch
from torch import nn

from callbacks.diagnostics.look import Look
from callbacks.diagnostics.norm_biases import NormBiases
from callbacks.diagnostics.run_look import blank_look
from callbacks.probe import NO_PROBE
from lightning_modules.networks import ResNet
from plasticity_lab.errors import UserError
from plasticity_lab.measurements.norm_biases import negative_share, norm_biases
from plasticity_lab.timing import Time
from tests.callbacks.diagnostics.measured import check_invisible, last, run
from tests.networks import SmallNet


def test_zeros_are_not_negative() -> None:
    assert negative_share([torch.tensor([-1.0, 0.0, -0.0, 2.0]), torch.tensor([-3.0])]) == 0.4


def test_all_batch_norms_with_biases_count() -> None:
    assert len(norm_biases(ResNet(3, 5, depth=1, width=4))) == 1 + 8 + 3
    assert not norm_biases(ResNet(3, 5, depth=1, width=16, norm="group"))
    assert list(norm_biases(nn.Sequential(nn.BatchNorm1d(2, affine=False), nn.BatchNorm1d(2)))) == [
        "1.bias"
    ]


def test_a_run_logs_the_share_of_its_biases() -> None:
    finished, values = run("norm_biases.NormBiases")
    share = float((finished.model.network.norm.bias < 0).float().mean())
    assert share > 0
    assert last(values) == {"negative_norm_biases": share, "negative_norm_biases/norm.bias": share}
    assert values["negative_norm_biases"][0] == (0, 0), "all are 0 at first"
    check_invisible(finished, NormBiases(Time("1ep")))
    finished.model.network = SmallNet(1, 10, norm=False)
    with pytest.raises(UserError, match="network: has no batch norm with biases"):
        NormBiases(Time("1ep")).check(blank_look(finished.trainer, finished.model))


def test_shares_by_block() -> None:
    network = ResNet(3, 5, depth=1, width=4)
    with torch.no_grad():
        network.layer2[0].norm1.bias.fill_(-1)  # type: ignore[index,union-attr]
    measured = NormBiases(Time("1ep")).measure(Look(network, NO_PROBE))
    assert measured == {
        "negative_norm_biases": 8 / (4 + 2 * 60 + 8 + 16 + 32),
        "negative_norm_biases/stem": 0,
        "negative_norm_biases/layer1": 0,
        "negative_norm_biases/layer2": 8 / 24,
        "negative_norm_biases/layer3": 0,
        "negative_norm_biases/layer4": 0,
    }
