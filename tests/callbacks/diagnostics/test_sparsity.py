"""Surviving weights of a network."""

import torch

from callbacks.diagnostics.look import Look
from callbacks.diagnostics.sparsity import Sparsity
from callbacks.probe import NO_PROBE
from plasticity_lab.timing import Time
from tests.callbacks.diagnostics.measured import check_invisible, last, run
from tests.networks import SmallNet


def test_a_run_logs_that_all_weights_survive() -> None:
    finished, values = run("sparsity.Sparsity")
    names = ("surviving_weights", "surviving_weights/conv", "surviving_weights/head")
    assert last(values) == dict.fromkeys(names, 1.0)
    check_invisible(finished, Sparsity(Time("1ep")))


def test_layers_have_shares_of_their_own() -> None:
    network = SmallNet(1, 10)
    with torch.no_grad():
        network.head.weight[:5] = 0
        network.conv.weight[0] = 0
    assert Sparsity(Time("1ep")).measure(Look(network, NO_PROBE)) == {
        "surviving_weights": 47 / 76,
        "surviving_weights/conv": 0.75,
        "surviving_weights/head": 0.5,
    }
