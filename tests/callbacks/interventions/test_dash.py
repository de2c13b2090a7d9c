"""DASH in a run, against a gradient that is taken by hand."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from callbacks.probe import training_probe
from tests.callbacks.interventions.arms import FROZEN, intervention, run
from tests.probes import Batches

NETWORK = {"network": {"class_path": "tests.networks.SmallNet", "init_args": {"norm": False}}}


def test_shrinks_by_the_gradient_of_all_training_data_without_dropout() -> None:
    finished = run(intervention("DASH", at=["11st"], least=0.3), FROZEN, model=NETWORK)
    plain = run(FROZEN, model=NETWORK)
    network, data = plain.model.network.eval(), plain.trainer.datamodule
    probe = training_probe(data, 100, False, data.now)
    assert len(probe.inputs) == 100
    loss = F.cross_entropy(network(probe.inputs), probe.targets)
    names, values = zip(*network.named_parameters(), strict=True)
    slopes = dict(zip(names, torch.autograd.grad(loss, values), strict=True))
    for name, value in network.named_parameters():
        factors = cosines(value.detach(), -slopes[name]).clamp(0.3, 1)
        got = finished.model.network.get_parameter(name)
        torch.testing.assert_close(got.detach(), value.detach() * factors, atol=1e-6, rtol=1e-4)


GROWING: dict[str, Any] = {
    "growth": {
        "class_path": "datamodules.UniformGrowth",
        "init_args": {"counts": [98, 100], "at": ["1ep"]},
    },
    "augmentation": {"class_path": "datamodules.CropFlip"},
}
"""Four steps an epoch, as without it."""


def test_what_a_stage_has_brought_counts_for_three_tenths_in_order_without_augmentation() -> None:
    finished = run(intervention("DASH", at=["11st"]), FROZEN, model=NETWORK, **GROWING)
    plain = run(FROZEN, model=NETWORK, **GROWING)
    network, data = plain.model.network.eval(), plain.trainer.datamodule
    old, new = data.stages.stages.added
    names, values = zip(*network.named_parameters(), strict=True)
    average = [torch.zeros_like(value) for value in values]
    for members in (old, new):
        pixels = data.splits.train.__getitems__(members.tolist()).float()
        inputs = (pixels - data.normalisation.mean[:, None, None]) / data.normalisation.std[
            :, None, None
        ]
        loss = F.cross_entropy(network(inputs), data.splits.train.targets[members])
        slopes = torch.autograd.grad(loss, values)
        average = [0.7 * one - 0.3 * slope for one, slope in zip(average, slopes, strict=True)]
    for name, value, direction in zip(names, values, average, strict=True):
        factors = cosines(value.detach(), direction).clamp(0.3, 1)
        got = finished.model.network.get_parameter(name)
        torch.testing.assert_close(got.detach(), value.detach() * factors, atol=1e-6, rtol=1e-4)


def test_each_batch_of_a_pass_counts_for_three_tenths_in_order() -> None:
    finished = run(intervention("DASH", at=["11st"], over="batches"), FROZEN, model=NETWORK)
    plain = run(FROZEN, {"class_path": "tests.probes.Batches"}, model=NETWORK)
    network = plain.model.network.eval()
    record = next(one for one in plain.trainer.callbacks if isinstance(one, Batches))
    names, values = zip(*network.named_parameters(), strict=True)
    average = [torch.zeros_like(value) for value in values]
    for inputs, targets in record.batches[8:]:  # of the present epoch
        slopes = torch.autograd.grad(F.cross_entropy(network(inputs), targets), values)
        average = [0.7 * one - 0.3 * slope for one, slope in zip(average, slopes, strict=True)]
    for name, value, direction in zip(names, values, average, strict=True):
        factors = cosines(value.detach(), direction).clamp(0.3, 1)
        got = finished.model.network.get_parameter(name)
        torch.testing.assert_close(got.detach(), value.detach() * factors, atol=1e-6, rtol=1e-4)


def cosines(value: Tensor, direction: Tensor) -> Tensor:
    axes = (2, 3) if value.ndim == 4 else (1,) if value.ndim == 2 else (0,)
    product = (value * direction).sum(axes, keepdim=True)
    lengths = [tensor.pow(2).sum(axes, keepdim=True).sqrt() for tensor in (value, direction)]
    return product / lengths[0] / lengths[1]


def test_a_pass_in_evaluation_mode_leaves_statistics_and_modes_alone() -> None:
    finished = run(intervention("DASH", at=["11st"]), FROZEN)
    plain = run(FROZEN)
    assert finished.model.network.training == plain.model.network.training
    # The last batch passed through shrunk weights, from the same statistics as without it.
    before, after = plain.model.network.norm, finished.model.network.norm
    assert int(after.num_batches_tracked) == int(before.num_batches_tracked) == 12
